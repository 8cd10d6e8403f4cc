"""What evaluation harnesses ask, answered by a session: one video or picture and a text, by one method."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from PIL import Image, UnidentifiedImageError

from himmel.errors import UsageError, VideoError
from himmel.methods.answer import Answer
from himmel.methods.choice import build
from himmel.methods.frames import Dense, FramesMethod
from himmel.methods.protocol import Method
from himmel.methods.question import Question
from himmel.methods.removed import PATIENCE, NothingRemovedError
from himmel.methods.session import Session
from himmel.methods.source import MediaSource
from himmel.video import Video


@dataclass(frozen=True)
class Part:
    """One piece of a message.

    Attributes:
        kind: what it is.
        value: the text itself; a video's path; a picture's path or the picture.
        start, end: the stretch of a video in seconds; None for the video's own beginning and end.
    """

    kind: Literal["text", "image", "video"]
    value: Any
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Asked:
    """A question as the host is asked it: the task's own text, about one video or picture."""

    part: Part
    text: str

    @classmethod
    def of(cls, parts: Sequence[Part], *, before: "Asked | None" = None) -> "Asked":
        """Put a message together: its texts become one, a line each, and the video or picture comes before them.

        Args:
            parts: of the message.
            before: what was asked before; a message without a video or picture is about the same one.

        Raises:
            UsageError: there is no video or picture, or more than one.
        """
        shown = [part for part in parts if part.kind != "text"] or ([] if before is None else [before.part])
        if len(shown) != 1:
            raise UsageError(
                f"A question of this task comes with {len(shown)} videos or pictures, and himmel is asked about one; "
                "choose a task with one in each question."
            )
        return cls(shown[0], "\n".join(part.value for part in parts if part.kind == "text"))

    def open(self) -> MediaSource:
        """The video or picture.

        Raises:
            VideoError: a stretch of a video, or a picture, cannot be read; or there is no such stretch.
        """
        value, start, end = self.part.value, self.part.start, self.part.end
        if self.part.kind == "video":
            if start is None and end is None:
                return value
            try:
                return Video(value).between(start or 0.0, end)
            except UsageError as error:
                raise VideoError(f"{str(value)!r} cannot be shown ({error})") from error
        if isinstance(value, Image.Image):
            return value
        try:
            with Image.open(value) as picture:
                picture.load()
                return picture
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise VideoError(f"The picture {str(value)!r} cannot be read ({error}); check the path.") from error


class Asker:
    """A session and a method that all questions of a harness go to.

    Args:
        method: name of a method.
        options: of the method, by name.
        host, adapter, device, threads: see `Session` and `Session.ask`.

    Raises:
        UsageError, HostError: as `build` and `Session`.
    """

    def __init__(
        self,
        *,
        method: str,
        options: dict[str, Any],
        host: str | None,
        adapter: str | None,
        device: str | None,
        threads: int | None = None,
    ) -> None:
        self.method = build(method, **options)
        self.session = Session(adapter=adapter, host=host, device=device, prompt_cache_bytes=0)
        self._threads = threads
        self._removes = False
        self._unreduced = 0

    def answer(
        self, asked: Sequence[Asked], *, max_new_tokens: int, questions: Sequence[Question] = ()
    ) -> list[Answer | VideoError]:
        """Answer questions in one batch; a file that cannot be read spoils its own answer alone.

        Where the method would remove nothing of a prompt, the host is asked with all of it, unless that was so of the
        first five.

        Args:
            asked: what to answer.
            max_new_tokens: where an answer is cut.
            questions: for each, the question with the options to score; empty where the model uses its own words.

        Raises:
            UsageError, HostError: as `Session.ask`.
        """
        try:
            whole = questions or [Question(one.text) for one in asked]
            pairs = [(one.open(), question) for one, question in zip(asked, whole, strict=True)]
            answers = self._ask(self.method, pairs, max_new_tokens)
            self._removes = self._removes or any(answer.removed is not None for answer in answers)
            return list(answers)
        except VideoError as error:
            if len(asked) == 1:
                return [error]
        except NothingRemovedError as error:
            if len(asked) == 1:
                return [self._answer_whole(pairs, max_new_tokens, error)]
        return [
            self.answer([one], max_new_tokens=max_new_tokens, questions=questions[k : k + 1])[0]
            for k, one in enumerate(asked)
        ]

    def _ask(self, method: Method, pairs: Sequence[tuple[MediaSource, Question]], most: int) -> list[Answer]:
        return self.session.ask_all(pairs, method=method, max_new_tokens=most, threads=self._threads)

    def _answer_whole(
        self, pairs: Sequence[tuple[MediaSource, Question]], most: int, error: NothingRemovedError
    ) -> Answer:
        self._unreduced += 1
        if not self._removes and self._unreduced >= PATIENCE:
            raise error
        assert isinstance(self.method, FramesMethod)
        return replace(self._ask(Dense.beneath(self.method), pairs, most)[0], removed=error.removed)


def cut(text: str, until: Sequence[str]) -> str:
    """A text up to the first of the strings that end it."""
    ends = [place for place in (text.find(stop) for stop in until if stop) if place >= 0]
    return text[: min(ends)] if ends else text
