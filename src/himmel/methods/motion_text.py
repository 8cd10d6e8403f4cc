"""`motion_text`: the video's motion in words before the question, for any model, one behind an API too."""

import time
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from himmel._checks import check_choice, check_whole
from himmel.choices import Backend
from himmel.methods.answer import VideoRead, describe_frames
from himmel.methods.frames import MOST_FRAMES, FrameMode, FramesMethod
from himmel.methods.protocol import Read, Reading, Shown, show_frames
from himmel.model import HimmelConfig
from himmel.model.encoder import PromptEncoder
from himmel.video import Timeline, Video
from himmel.video.frames import Frames

LEAST_TOKENS, MOST_TOKENS = 64, 16384


@dataclass(frozen=True, eq=False)
class DescribedRead(Read):
    """Frames, and what moves between them."""

    timeline: Timeline | None = None


@dataclass(frozen=True)
class DescribedReading:
    """A time line, see `Video.describe`, and evenly spaced frames or none."""

    num_frames: int
    frame_mode: FrameMode
    backend: Backend
    max_pictures: int

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Read motion, then decode the frames."""
        begin = time.perf_counter()
        timeline = video.describe(max_pictures=self.max_pictures, backend=self.backend, threads=threads)
        described = time.perf_counter() - begin
        found = Frames((), 0, (), {"open": timeline.seconds["open"]})
        if self.num_frames:
            found = video.frames(num_frames=self.num_frames, mode=self.frame_mode, threads=threads)
        return DescribedRead(
            frames=found.frames,
            record=_record(video, found, timeline),
            notes=tuple(dict.fromkeys((*timeline.notes, *found.notes))),
            seconds={**found.seconds, "describe": described},
            timeline=timeline,
        )


@dataclass(frozen=True, kw_only=True)
class MotionText(FramesMethod):
    """`motion_text`: a time line of what the camera does, what moves and where cuts are, then the question.

    The words are those of `himmel describe`, read from the stream's own motion vectors; as many of them as fit in a
    number of the host's tokens, what matters most first.

    Args:
        num_frames: evenly spaced frames that are shown before the words, 0 to 4096; 8 by default. With 0 the host sees
            words alone.
        frame_mode: see `FramesMethod`.
        text_tokens: most tokens of the time line, 64 to 16,384; 256 by default.
        backend: where motion comes from, see `Video.describe`.
        max_pictures: the most pictures whose vectors are read, 1 to 100,000; 1200 by default, which is 8 a second of
            150 seconds and 2 a second of ten minutes.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str] = "motion_text"

    num_frames: int = 8
    text_tokens: int = 256
    backend: Backend = "auto"
    max_pictures: int = 1200

    def __post_init__(self) -> None:
        check_whole("num_frames", self.num_frames, 0, MOST_FRAMES)
        check_choice("frame_mode", self.frame_mode, get_args(FrameMode))
        check_whole("text_tokens", self.text_tokens, LEAST_TOKENS, MOST_TOKENS)
        check_choice("backend", self.backend, get_args(Backend))
        check_whole("max_pictures", self.max_pictures, 1, 100_000)

    def reading(self, config: HimmelConfig | None) -> Reading:
        """See `Method.reading`."""
        del config
        return DescribedReading(self.num_frames, self.frame_mode, self.backend, self.max_pictures)

    def prepare(self, read: Read, processor: PromptEncoder) -> Shown:
        """The frames and the time line; a single picture in place of a video is shown as it is.

        Raises:
            UsageError: not even the shortest time line fits in `text_tokens` of this host.
        """
        if not isinstance(read, DescribedRead) or read.timeline is None:
            return super().prepare(read, processor)
        host = processor.host

        def count(text: str) -> int:
            return len(host.encode_text(text))

        words = read.timeline.text(budget=self.text_tokens, count=count)
        return Shown(
            show_frames(read, host),
            preface=words,
            evidence=True,
            notes=(f"The time line in words takes {count(words)} tokens, of at most {self.text_tokens}.",),
        )


def _record(video: Video, found: Frames, timeline: Timeline) -> VideoRead:
    """What an answer says about the file."""
    record = describe_frames(video, found)
    return replace(record, backend=timeline.backend, backend_reason=timeline.backend_reason)
