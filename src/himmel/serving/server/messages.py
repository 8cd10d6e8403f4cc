"""What chat requests ask himmel: sources, a question, a method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pydantic import ValidationError

from himmel.errors import UsageError
from himmel.methods.adapter_methods import Himmel
from himmel.methods.choice import METHODS, build, option_names
from himmel.methods.decoding import Decoding
from himmel.methods.frames import Dense, FramesMethod
from himmel.methods.protocol import Method
from himmel.methods.question import Question
from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.schema import ChatRequest, FilePart, ImagePart, Message, TextPart, VideoPart
from himmel.serving.server.watched import LIVE

_MOST_STOPS: Final = 4
_MOST_URL: Final = 100
# Values of a body besides what its texts hold; pydantic takes about 8 s and 2 GB for a million of them.
_MOST_VALUES: Final = 2**14
_MOST_PARAM: Final = 200
# What would change the answer and is not done here, with the values that change nothing.
_UNDONE: Final[dict[str, tuple[Any, ...]]] = {
    "n": (None, 1),
    "tools": (None, []),
    "functions": (None, []),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
}


@dataclass(frozen=True)
class Source:
    """A video or picture that a request names.

    Attributes:
        kind: None where its content tells.
        url: as given.
        start, end: the stretch of a video in seconds.
        param: the field of the request.
    """

    kind: Literal["video", "picture"] | None
    url: str
    start: float | None
    end: float | None
    param: str


@dataclass(frozen=True)
class Asked:
    """What a request asks.

    Attributes:
        model: as named.
        method: how its video becomes a prompt.
        sources: one video, or pictures; empty for text alone.
        question: the last question, with the turns before it.
        decoding: how the answer is made.
        stops: texts before which it ends.
        stream, usage, logprobs: what the reply is to be like.
    """

    model: str
    method: Method
    sources: tuple[Source, ...]
    question: Question
    decoding: Decoding
    stops: tuple[str, ...]
    stream: bool
    usage: bool
    logprobs: bool

    def without_urls(self) -> "Asked":
        """The same once its sources were brought: data: URLs take much memory."""
        return replace(self, sources=tuple(replace(source, url="") for source in self.sources))


def parse(body: bytes, limits: Limits, *, models: Sequence[str]) -> Asked:
    """What a request's body asks.

    Args:
        body: as it arrived.
        limits: see `Limits`.
        models: names of methods that can be asked.

    Raises:
        Refusal: it is no chat request, asks for something that is not done here, or is over a limit.
    """
    _check_size(body, limits)
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        raise _explain(error) from None
    _check_undone(request)
    if request.model not in models:
        raise Refusal(
            404,
            f"There is no model {request.model[:_MOST_URL]!r}; there are {', '.join(models)}.",
            code="model_not_found",
            param="model",
        )
    sources = _sources(request.messages, limits)
    try:
        method = build(request.model, **_options(request))
        question = _question(request, limits)
    except UsageError as error:
        raise Refusal(400, str(error), code="invalid_value") from error
    return Asked(
        model=request.model,
        method=method if sources else _for_text(method),
        sources=sources,
        question=question,
        decoding=_decoding(request, limits),
        stops=_stops(request),
        stream=bool(request.stream),
        usage=request.stream_options is not None and request.stream_options.include_usage,
        logprobs=bool(request.logprobs),
    )


def _check_size(body: bytes, limits: Limits) -> None:
    """See that parsing a body takes neither long nor much memory: it is done between other requests' turns."""
    # Each value but the first has one of these before it; a text may hold as many as it has characters.
    values = sum(body.count(mark) for mark in (b",", b"[", b"{"))
    if values > _MOST_VALUES + limits.text_characters:
        raise Refusal(
            400,
            f"The request's JSON holds about {values:,} values, which is more than is read here; send fewer parts, and "
            "data: URLs in base64.",
            code="too_many_values",
        )


def _check_undone(request: ChatRequest) -> None:
    for name, allowed in _UNDONE.items():
        value = (request.model_extra or {}).get(name)
        if value not in allowed:
            raise Refusal(400, f"{name!r} is not supported here; leave it out.", code="unsupported_value", param=name)


def _options(request: ChatRequest) -> dict[str, Any]:
    """Options of the method; a number of frames that comes as vLLM's clients say it is for methods that have one."""
    video = None if request.media_io_kwargs is None else request.media_io_kwargs.video
    if video is None or video.num_frames is None or "num_frames" not in option_names(METHODS[request.model]):
        return request.himmel.options
    return {"num_frames": video.num_frames} | request.himmel.options


def _for_text(method: Method) -> Method:
    """What asks the same model where there is neither video nor picture."""
    if isinstance(method, Himmel):
        return method
    return Dense.beneath(method) if isinstance(method, FramesMethod) else Dense()


def _sources(messages: Sequence[Message], limits: Limits) -> tuple[Source, ...]:
    found: dict[tuple[Any, ...], Source] = {}
    for place, message in enumerate(messages):
        for number, part in enumerate(message.content if isinstance(message.content, list) else []):
            if isinstance(part, TextPart):
                continue
            param = f"messages[{place}].content[{number}]"
            if message.role != "user":
                raise Refusal(
                    400, f"A message of the role {message.role!r} holds text alone.", code="invalid_value", param=param
                )
            source = _source(part, param)
            # A conversation repeats what it is about in some clients.
            found.setdefault((source.url, source.start, source.end), source)
    sources = tuple(found.values())
    if len(sources) > limits.sources:
        raise Refusal(
            400,
            f"{len(sources)} videos and pictures are more than the {limits.sources} of one request.",
            code="too_many_sources",
            param="messages",
        )
    return sources


def _source(part: ImagePart | VideoPart | FilePart, param: str) -> Source:
    if isinstance(part, VideoPart):
        video = part.video_url
        # Which stretch of a stream there is depends on its window.
        _check_stretch(video.start, video.end, live=video.url.startswith(LIVE), param=param)
        return Source("video", video.url, video.start, video.end, param)
    if isinstance(part, ImagePart):
        return Source("picture", part.image_url.url, None, None, param)
    url = part.file.file_id or part.file.file_data
    if url is None or (part.file.file_id and part.file.file_data):
        raise Refusal(400, "A part 'file' takes either file_id or file_data.", code="invalid_value", param=param)
    return Source(None, url, None, None, param)


def _check_stretch(start: float | None, end: float | None, *, live: bool, param: str) -> None:
    said = ""
    if not live and min(start or 0.0, end or 0.0) < 0:
        said = f"The stretch from {start} to {end} s begins before the video; times below 0 are those of live: alone."
    elif end is not None and end <= (start or 0.0) and not (live and (end < 0) != ((start or 0.0) < 0)):
        said = f"The stretch from {start} to {end} s is empty."
    if said:
        raise Refusal(400, said, code="invalid_value", param=param)


def _question(request: ChatRequest, limits: Limits) -> Question:
    """The last question with what came before; system messages are said before the first question."""
    if len(request.messages) > limits.messages:
        raise Refusal(400, f"More than {limits.messages} messages came.", code="too_many_messages", param="messages")
    turns = list(_turns(request.messages))
    further = request.himmel
    characters = sum(len(text) for turn in turns for text in turn) + sum(map(len, further.choices))
    if characters > limits.text_characters:
        raise Refusal(
            400,
            f"{characters:,} characters of text are more than {limits.text_characters:,}.",
            code="text_too_long",
            param="messages",
        )
    last = turns.pop()[0]
    return Question(
        last, tuple(further.choices), further.scoring, further.listing, further.answer_form, before=tuple(turns)
    )


def _turns(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """Questions with their answers; the last has an empty one."""
    said: list[str] = []
    for place, message in enumerate(messages):
        text = _text(message)
        if message.role != "assistant":
            said.append(text)
            continue
        if not any(said):
            raise Refusal(400, "An answer comes before any question.", code="invalid_value", param=f"messages[{place}]")
        yield "\n".join(filter(None, said)), text
        said = []
    if messages[-1].role != "user":
        raise Refusal(400, "The last message is no user's; end with one.", code="invalid_value", param="messages")
    yield "\n".join(filter(None, said)), ""


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))


def _decoding(request: ChatRequest, limits: Limits) -> Decoding:
    most = request.max_completion_tokens or request.max_tokens or min(limits.default_new_tokens, limits.new_tokens)
    if most > limits.new_tokens:
        raise Refusal(
            400,
            f"{most:,} tokens were asked for and an answer has at most {limits.new_tokens:,} here.",
            code="invalid_value",
            param="max_completion_tokens",
        )
    return Decoding(
        max_new_tokens=most,
        temperature=request.temperature or 0.0,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=request.seed or 0,
        alternatives=(request.top_logprobs or 0) if request.logprobs else None,
    )


def _stops(request: ChatRequest) -> tuple[str, ...]:
    stops = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    if len(stops) > _MOST_STOPS or any(not 0 < len(one) <= 256 for one in stops):
        raise Refusal(
            400, f"stop takes up to {_MOST_STOPS} texts of 1 to 256 characters.", code="invalid_value", param="stop"
        )
    return stops


def _explain(error: ValidationError) -> Refusal:
    """What pydantic found, as a sentence; values are not repeated, as they may be long or secret."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    # Where alternatives failed, the one that got furthest is what was meant.
    first = max(found, key=lambda one: len(one["loc"]))
    param = _name_field(first["loc"])[:_MOST_PARAM]
    said = first["msg"][:300].rstrip(".")
    return Refusal(
        400,
        f"The request is wrong at {param or 'its top'!r}: {said}.",
        code="invalid_request",
        param=param or None,
    )


def _name_field(place: Sequence[int | str]) -> str:
    """A field as a client writes it, such as messages[0].content[1].text; the names of alternatives are pydantic's."""
    name = ""
    # In a list of alternatives, a part's number is followed by its kind.
    is_list = is_kind = False
    for step in place:
        if isinstance(step, int):
            name += f"[{step}]"
            is_list, is_kind = False, is_list
        elif step.startswith("list["):
            is_list = True
        elif is_kind:
            is_kind = False
        elif step != "str" and not step.startswith("function-"):
            name += f".{step}" if name else step
    return name
