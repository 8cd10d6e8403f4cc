"""Ways to show a video to a host: which pictures are read of the file, and what prompt they become."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch
from av.container import InputContainer
from av.video.stream import VideoStream
from transformers import BatchFeature

from himmel.model import HimmelProcessor, PreparedSample
from himmel.video import Video

Picture = npt.NDArray[np.uint8]
QUESTION = "What happens in this video, and in which order?"


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        frames: pictures that are read.
        exact: whether they are exactly where uniform spacing puts them, or at the keyframe before.
        panel: pictures tiled into one, side by side, a square number.
        motion: whether the motion of the intervals between them is read too.
        says: what it is, in a few words.
    """

    frames: int
    exact: bool
    says: str
    panel: int = 1
    motion: bool = False


WAYS = {
    "dense": Way(32, True, "32 exact frames, a picture each"),
    "dense-keyframes": Way(32, False, "32 keyframes, a picture each"),
    "frames-16": Way(16, True, "16 exact frames"),
    "panel": Way(32, True, "32 exact frames, four to a picture", panel=4),
    "anchors": Way(8, False, "8 keyframes"),
    "himmel": Way(8, False, "8 anchors at keyframes and 8 x 64 motion tokens", motion=True),
}


@dataclass(frozen=True)
class Shown:
    """A prompt, and the seconds that it took to read the file and to make it."""

    inputs: BatchFeature
    read: float
    prepare: float


def show(way: Way, path: Path, processor: HimmelProcessor, *, threads: int) -> Shown:
    """Go a way from the file to the model's inputs, on the CPU."""
    begin = time.perf_counter()
    if way.motion:
        decomposition = Video(path).decompose(num_anchors=way.frames, steps_per_interval=16, threads=threads)
        read = time.perf_counter()
        sample = processor.prepare(decomposition)
    else:
        pictures = read_frames(path, way.frames, exact=way.exact, threads=threads)
        read = time.perf_counter()
        sample = picture_sample(processor, tile(pictures, way.panel))
    inputs = processor.encode([sample], [[(QUESTION, None)]], motion=way.motion)
    return Shown(inputs, read - begin, time.perf_counter() - read)


def picture_sample(processor: HimmelProcessor, pictures: Sequence[Picture]) -> PreparedSample:
    """Pictures without intervals."""
    adapter = processor.config.adapter
    return PreparedSample(
        motion=torch.zeros(0, 1, *adapter.motion_shape),
        residual=torch.zeros(0, 1, *adapter.residual_shape),
        step_mask=torch.zeros(0, 1, dtype=torch.bool),
        images=processor.host.prepare_images(pictures),
    )


def tile(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Every `count` pictures as one, row by row; the host scales it to its own budget."""
    side = round(count**0.5)
    groups = [pictures[first : first + count] for first in range(0, len(pictures), count)]
    return [
        np.vstack([np.hstack(group[row * side : (row + 1) * side]) for row in range(side)]) if side > 1 else group[0]
        for group in groups
    ]


def read_frames(path: Path, count: int, *, exact: bool, threads: int) -> list[Picture]:
    """`count` uniformly spaced pictures [H, W, 3], decoded by as many one-threaded decoders as there are threads."""

    def frames(worker: int) -> list[Picture]:
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            video.codec_context.thread_count = 1
            return [_frame_at(container, video, part, count, exact=exact) for part in range(worker, count, threads)]

    with ThreadPoolExecutor(threads) as pool:
        shares = list(pool.map(frames, range(threads)))
    return [shares[part % threads][part // threads] for part in range(count)]


def _frame_at(container: InputContainer, video: VideoStream, part: int, count: int, *, exact: bool) -> Picture:
    place = round(part * video.frames / count)
    assert video.average_rate is not None
    assert video.time_base is not None
    wanted = (video.start_time or 0) + round(place / (video.average_rate * video.time_base))
    container.seek(wanted, stream=video)
    for packet in container.demux(video):
        # Pictures that no other refers to are decoded only if they are the wanted one.
        skips = exact and packet.pts not in (wanted, None)
        video.codec_context.skip_frame = "NONREF" if skips else "DEFAULT"
        # A keyframe needs no more packets; asked to empty itself, the decoder gives it at once.
        decoded = packet.decode() if exact else [*packet.decode(), *video.codec_context.decode(None)]
        for frame in decoded:
            if not exact or frame.pts == wanted:
                return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    raise SystemExit(f"{container.name} has no picture at {wanted} of its clock.")
