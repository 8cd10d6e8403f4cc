"""`codec_frames`: a budget of frames spent where the codec says that something happens, without training."""

import time
from dataclasses import dataclass, replace
from typing import ClassVar

from himmel.methods.answer import describe_frames
from himmel.methods.frames import FrameMode, FramesMethod
from himmel.methods.protocol import Read, Reading
from himmel.model import HimmelConfig
from himmel.video import Video
from himmel.video.events import LEAST, MOST, check_bounds


@dataclass(frozen=True)
class EventReading:
    """Frames where something happens, see `Video.event_frames`."""

    num_frames: int
    frame_mode: FrameMode
    least_density: float
    most_density: float

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Choose the frames, and decode them."""
        begin = time.perf_counter()
        chosen = video.event_frames(
            num_frames=self.num_frames,
            mode=self.frame_mode,
            least_density=self.least_density,
            most_density=self.most_density,
            threads=threads,
        )
        taken = time.perf_counter() - begin
        found = video.frames(chosen.frames, threads=threads)
        reasons = dict(zip(chosen.frames.tolist(), chosen.reasons, strict=True))
        # A damaged picture is replaced by one nearby.
        frames = tuple(replace(one, reason=reasons.get(one.frame, "events")) for one in found.frames)
        found = replace(found, frames=frames)
        seconds = {**found.seconds, "choose": taken}
        return Read(found.frames, describe_frames(video, found), notes=chosen.notes + found.notes, seconds=seconds)


@dataclass(frozen=True, kw_only=True)
class CodecFrames(FramesMethod):
    """`codec_frames`: frames as `dense` shows them, but closer to each other where more happens.

    How much happens is read from bits, motion and intra share, and every longer scene begins with a frame
    (`himmel.video.events`); nothing is decoded to choose.

    Args:
        num_frames: see `FramesMethod`.
        frame_mode: `exact`: the pictures nearest to the chosen times; `keyframe`: the nearest keyframe, which is
            cheaper to decode, where one is nearer to that time than to those before and after it.
        least_density: where nothing happens, frames are no sparser than this share of uniform; 0.5 by default.
        most_density: where most happens, frames are no denser than this many times uniform; 4 by default.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str] = "codec_frames"

    least_density: float = LEAST
    most_density: float = MOST

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bounds(self.least_density, self.most_density)

    def reading(self, config: HimmelConfig | None) -> Reading:
        """See `Method.reading`."""
        del config
        return EventReading(self.num_frames, self.frame_mode, self.least_density, self.most_density)
