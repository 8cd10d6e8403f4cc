"""Questions about live video, answered from its last minutes as about any other video."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from himmel.methods.answer import Answer
from himmel.methods.session import Session
from himmel.video.live import LiveEvent, LiveSpan, LiveVideo


@dataclass(frozen=True)
class LiveAnswer:
    """An answer, and what of the stream it is about.

    Attributes:
        answer: times in it count from the beginning of the window. It names the source as its file, and the hash is
            that of the window as a file of NUT.
        window: from when to when.
    """

    answer: Answer
    window: LiveSpan


class Watch:
    """A live video and a model: events as they come, and answers at any time, from any thread.

    The window is read at each question, by the same means as a file; nothing of it is kept afterwards.

    Args:
        source: see `LiveVideo`; or one that is open already, which is closed with this object.
        session: the model; None makes a `Session` of the checkpoint in the package, loaded at the first question.
        minutes, megabytes, patience, options: see `LiveVideo`; not for one that is open already.

    Raises:
        VideoError, UsageError: as `LiveVideo`.

    Example:
        >>> import himmel
        >>> with himmel.Watch("rtsp://camera.local/stream", minutes=2) as watch:  # doctest: +SKIP
        ...     print(watch.ask("Did anyone come to the door?", choices=["yes", "no"]).answer.text)
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | LiveVideo,
        *,
        session: Session | None = None,
        minutes: float = 5.0,
        megabytes: int = 256,
        patience: float = 60.0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.session = session or Session(cache_bytes=0, prompt_cache_bytes=0)
        self.video = (
            source
            if isinstance(source, LiveVideo)
            else LiveVideo(source, minutes=minutes, megabytes=megabytes, patience=patience, options=options)
        )

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def events(self, *, motion: bool = True, pictures_per_second: float = 8.0) -> Iterator[LiveEvent]:
        """See `LiveVideo.events`."""
        return self.video.events(motion=motion, pictures_per_second=pictures_per_second)

    def ask(self, question: str, **options: Any) -> LiveAnswer:
        """Answer a question about the last minutes, up to the newest picture; after the stream's end as well.

        Args:
            question: not empty.
            options: see `Session.ask`: `choices`, `method`, `max_new_tokens`, the method's own, and so on.

        Raises:
            UsageError, VideoError, HostError: as `Session.ask`, and as `LiveVideo.save`.
        """
        with tempfile.TemporaryDirectory(prefix="himmel-live-") as folder:
            path = Path(folder) / "window.nut"
            window = self.video.save(path)
            # As a file object: what was read of a path would be kept for a question that nobody asks again.
            with path.open("rb") as file:
                answer = self.session.ask(file, question, **options)
        return LiveAnswer(replace(answer, video=replace(answer.video, path=self.video.source)), window)

    def close(self) -> None:
        """Stop reading."""
        self.video.close()
