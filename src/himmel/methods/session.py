"""Questions about videos, answered from one loaded model: from a file and a question to an answer and its record."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, cast

from PIL.Image import Image

from himmel._checks import check_options, check_picture, check_whole
from himmel._memory import peak_memory
from himmel._versions import versions
from himmel.choices import AnswerForm, DeviceMap, Listing, MethodName, Quantization, Scoring
from himmel.errors import UsageError
from himmel.methods.answer import Answer, VideoRead, share_out
from himmel.methods.cache import BoundedCache
from himmel.methods.choice import option_values
from himmel.methods.models import Models
from himmel.methods.protocol import Method, Read, Reading, Reply, Shown
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING, DEFAULT_SCORING, Question
from himmel.methods.request import Request, choose_method
from himmel.methods.source import FileState, MediaSource
from himmel.methods.still import read_picture
from himmel.model.host_model import HostModel
from himmel.model.modeling import HimmelForConditionalGeneration
from himmel.model.threads import torch_threads
from himmel.video import Decomposition, Video, draw_streams

CACHE_BYTES = 512 * 2**20
MOST_CACHE_BYTES = 2**50


class Session:
    """A model that is loaded once and answers any number of questions, from several threads at once if need be.

    Each question brings its own settings; none of them shows in another's answer, and nothing outside of the session
    changes: neither the model, nor torch's random numbers, nor its number of threads elsewhere. What was read of a
    video is kept, so that a second question about it reads nothing again. A file that has changed since is read again.

    Args:
        model: the model to ask; None loads one at the first question (or the first use of `model`). Excludes what says
            how to load one. If its adapter is exchanged, make a new session.
        adapter: checkpoint folder or repository name; None takes the checkpoint in the package.
        host: name or folder of a host in place of the checkpoint's own. Without an adapter of its own it can be asked
            by every method that needs none.
        device: torch's name of one, such as "cuda"; None takes the first GPU if there is one, else the CPU.
        device_map, quantization: see `Loading`.
        max_anchor_tokens: most image tokens of one picture, on hosts that read pictures at their own size and are asked
            without an adapter; None for 256. An adapter brings its own number.
        cache_bytes: most memory for what was read of videos. A video in 1080p takes about 100 MB while its pictures and
            maps are kept, and a few MB once others have taken their place and only the model's inputs are left.

    Raises:
        UsageError: a model came together with how to load one, two options exclude each other, or there is no such
            device.
        HostError: there is no checkpoint at `adapter`.

    Examples:
        >>> import himmel
        >>> session = himmel.Session()  # doctest: +SKIP
        >>> session.ask("bunny.mp4", "Which way does the rabbit move?", choices=["left", "right"])  # doctest: +SKIP
        >>> session.ask("bunny.mp4", "What is in the video?", method="dense")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: HimmelForConditionalGeneration | None = None,
        *,
        adapter: str | os.PathLike[str] | None = None,
        host: str | None = None,
        device: str | None = None,
        device_map: DeviceMap | None = None,
        quantization: Quantization | None = None,
        max_anchor_tokens: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._models = Models(
            model,
            adapter=adapter,
            host=host,
            device=device,
            device_map=device_map,
            quantization=quantization,
            max_anchor_tokens=max_anchor_tokens,
        )
        # Half for each: pictures and maps, which are large, must not drive out the inputs of many more videos.
        check_whole("cache_bytes", cache_bytes, 0, MOST_CACHE_BYTES)
        self._reads: BoundedCache[Read] = BoundedCache(cache_bytes // 2)
        self._inputs: BoundedCache[_Prepared] = BoundedCache(cache_bytes // 2)

    @property
    def model(self) -> HimmelForConditionalGeneration:
        """The model with its adapter; loaded at the first use.

        Raises:
            HostError: the host or the checkpoint is missing or damaged, or they don't fit.
        """
        return self._models.adapted

    @property
    def plain(self) -> HostModel:
        """The host alone, for methods that need no adapter; loaded at the first use, weights shared with `model`.

        Raises:
            HostError: as `model`.
        """
        return self._models.plain

    def ask(
        self,
        video: MediaSource,
        question: str,
        *,
        method: MethodName | Method = "himmel",
        choices: Sequence[str] = (),
        scoring: Scoring = DEFAULT_SCORING,
        listing: Listing = DEFAULT_LISTING,
        answer_form: AnswerForm = DEFAULT_ANSWER_FORM,
        max_new_tokens: int = 64,
        seed: int = 0,
        threads: int | None = None,
        picture: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Answer:
        """Answer a question about a video.

        Args:
            video: a file, its bytes, or a video that is open already; or a single picture as `PIL.Image.Image`, which
                is shown as it is.
            question: not empty.
            method: how the video becomes a prompt, by name or as one of the classes in `himmel.methods`.
            choices: options to score by their likelihood, at least two; without any, the model answers in its own
                words.
            scoring, listing, answer_form: how options are asked and compared, see `Question`.
            max_new_tokens: where an answer is cut.
            seed: 0 to 2**63 - 1. Answers are greedy and draw nothing at random, so that it changes nothing; it is in
                the record.
            threads: 1 to 256 threads for this question, of reading and of torch; None leaves torch's number as it is.
                Only nano computes with one then, unless OMP_WAIT_POLICY=PASSIVE keeps waiting threads from spinning.
            picture: draw the streams into this file, see `draw_streams`; for methods that read them.
            options: of the method, see its class: `num_anchors` or `placement` of `himmel`, `num_frames` of `dense`.

        Raises:
            UsageError: the question is empty, an argument is of a wrong type or out of range, the prompt is longer
                than the host was made for, or the method removed nothing.
            VideoError: the file can't be read.
            HostError: the host or the checkpoint is missing or damaged, or they don't fit.
        """
        asked = Question(question, tuple(check_options(choices)), scoring, listing, answer_form)
        return self.ask_all(
            [(video, asked)],
            method=method,
            max_new_tokens=max_new_tokens,
            seed=seed,
            threads=threads,
            pictures=(picture,),
            **options,
        )[0]

    def ask_all(
        self,
        asked: Sequence[tuple[MediaSource, Question]],
        *,
        method: MethodName | Method = "himmel",
        max_new_tokens: int = 64,
        seed: int = 0,
        threads: int | None = None,
        pictures: Sequence[str | os.PathLike[str] | None] = (),
        **options: Any,
    ) -> list[Answer]:
        """Answer several questions at once, in one batch where the method can.

        Args:
            asked: videos, each with a question; a video may come more than once.
            method, max_new_tokens, seed, threads, options: see `ask`.
            pictures: for each video a file to draw its streams into, or None; empty for none.

        Raises:
            UsageError, VideoError, HostError: as `ask`, about the first of the videos that is at fault.
        """
        begin = time.perf_counter()
        request = Request(
            method=choose_method(method, options), max_new_tokens=max_new_tokens, seed=seed, threads=threads
        )
        for picture in pictures:
            if picture is not None:
                check_picture(picture)
        reading = request.method.reading(self._models.config if request.method.needs_adapter else None)
        if request.method.needs_adapter:
            self._models.check(request.method)
        stages: list[dict[str, float]] = [{} for _ in asked]
        with torch_threads(threads):
            prepared = [
                self._prepare(video, request, reading, picture, seconds)
                for (video, _), picture, seconds in zip(asked, pictures or (None,) * len(asked), stages, strict=True)
            ]
        with torch_threads(threads or self._models.few_threads(request.method)):
            return self._answer(request, [question for _, question in asked], prepared, stages, begin)

    def read_ahead(
        self, video: MediaSource, *, method: MethodName | Method = "himmel", threads: int | None = None, **options: Any
    ) -> bool:
        """Read and prepare a video, so that a question about it finds that done; as far as the cache has room.

        Args:
            video, method, threads, options: see `ask`.

        Returns:
            Whether there was anything to do; not where all of it had been done for an earlier question.

        Raises:
            UsageError, VideoError, HostError: as `ask`.
        """
        request = Request(method=choose_method(method, options), threads=threads)
        reading = request.method.reading(self._models.config if request.method.needs_adapter else None)
        seconds: dict[str, float] = {}
        with torch_threads(threads):
            self._prepare(video, request, reading, None, seconds)
        return bool(seconds)

    def _prepare(
        self,
        video: MediaSource,
        request: Request,
        reading: Reading,
        picture: str | os.PathLike[str] | None,
        seconds: dict[str, float],
    ) -> "_Prepared":
        """What the model needs of a video, and the record of it; out of the caches where it is there."""
        source = video if isinstance(video, Video | Image) else FileState.of(video) or Video(video)
        key = (id(source) if isinstance(source, Image) else source), reading
        with self._inputs.alone(key):
            prepared = self._inputs.get(key)
            read = None
            if prepared is None or picture is not None:
                read = self._reads.get(key) or self._read(video, source, reading, request.threads, seconds)
            if read is not None and picture is not None:
                with _timed(seconds, "draw"):
                    draw_streams(_streams_of(read, request.method), picture)
            if prepared is None and read is not None:
                with _timed(seconds, "load"):
                    model = self._models.get(request.method)
                with _timed(seconds, "prepare"):
                    shown = request.method.prepare(read, request.method.processor(model))
                prepared = _Prepared(shown, read.record, read.notes + shown.notes)
                # The copy of bytes or of a file object is nobody's key again; kept, it would stay on the disk.
                kept = source is video if isinstance(source, Video) else isinstance(source, FileState)
                if kept and (not isinstance(source, FileState) or source.is_unchanged()):
                    self._reads.put(key, read, _count_bytes(read))
                    self._inputs.put(key, prepared, sum(tensor.nbytes for tensor in shown.sample.tensors().values()))
        assert prepared is not None
        return prepared

    def _read(
        self,
        video: MediaSource,
        source: FileState | Video | Image,
        reading: Reading,
        threads: int | None,
        seconds: dict[str, float],
    ) -> Read:
        if isinstance(source, Image):
            return read_picture(source)
        # Before the model is loaded: a damaged file is found out at once, and decoding never adds to its memory.
        opened = source if isinstance(source, Video) else video if isinstance(video, Video) else Video(cast(Any, video))
        # For the record, which takes it at the end of reading.
        opened.start_hash()
        read = reading.read(opened, threads=threads)
        seconds |= {"hash": opened.hash_seconds, **(read.seconds or {})}
        return read

    def _answer(
        self,
        request: Request,
        questions: Sequence[Question],
        prepared: Sequence["_Prepared"],
        stages: Sequence[dict[str, float]],
        begin: float,
    ) -> list[Answer]:
        method = request.method
        model = self._models.get(method)
        start = time.perf_counter()
        replies = method.answer(
            model,
            method.processor(model),
            [one.shown for one in prepared],
            questions,
            max_new_tokens=request.max_new_tokens,
        )
        spent = time.perf_counter() - start
        for seconds in stages:
            seconds["answer"] = spent / len(stages)
        common = {"begin": begin, "memory": peak_memory(), "versions": versions()}
        return [
            self._record(request, *one, common=common) for one in zip(questions, prepared, replies, stages, strict=True)
        ]

    def _record(
        self,
        request: Request,
        question: Question,
        prepared: "_Prepared",
        reply: Reply,
        seconds: dict[str, float],
        *,
        common: dict[str, Any],
    ) -> Answer:
        choices = share_out(question.choices, reply.likelihoods, reply.scores) if question.choices else ()
        return Answer(
            text=max(choices, key=lambda one: one.score).text if choices else reply.text,
            question=question.text,
            choices=choices,
            method=request.method.name,
            options=option_values(request.method),
            video=prepared.video,
            host=self._models.get(request.method).host.folder,
            adapter=self._models.adapter_of(request.method),
            tokens={str(kind): count for kind, count in reply.tokens.items()},
            removed=reply.removed,
            prompt_sha256=reply.prompt_sha256,
            scoring=question.scoring,
            listing=question.listing,
            answer_form=question.answer_form,
            max_new_tokens=request.max_new_tokens,
            seed=request.seed,
            seconds=seconds,
            first_token=reply.first_token - common["begin"],
            peak_memory=common["memory"],
            notes=prepared.notes,
            versions=common["versions"],
        )


@dataclass(frozen=True)
class _Prepared:
    """What the model sees of a video, and the record of what was read."""

    shown: Shown
    video: VideoRead
    notes: tuple[str, ...]


def _streams_of(read: Read, method: Method) -> Decomposition:
    if read.decomposition is None:
        raise UsageError(
            f"The method {method.name!r} reads no streams that could be drawn; leave the picture out, or ask by the "
            "method 'himmel'."
        )
    return read.decomposition


def _count_bytes(read: Read) -> int:
    """Memory of all arrays."""
    total = sum(frame.image.nbytes for frame in read.frames)
    for interval in () if read.decomposition is None else read.decomposition.intervals:
        arrays = [interval.frames, interval.times, *(vars(interval.maps)[item.name] for item in fields(interval.maps))]
        total += sum(array.nbytes for array in arrays)
        total += 0 if interval.rgb_difference is None else interval.rgb_difference.nbytes
    if read.spending is not None:
        total += sum(plane.nbytes for plane in (read.spending.energy, read.spending.motion, read.spending.place_bits))
    return total


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the block's wall time to a stage's."""
    begin = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - begin
