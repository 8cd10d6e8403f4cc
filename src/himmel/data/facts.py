"""What is known of a video file once it is opened: measured from its packets and one decoded picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from himmel.choices import BackendName
from himmel.video.backends.choice import choose_backend
from himmel.video.file.container import open_stream
from himmel.video.file.index import PictureIndex
from himmel.video.file.opened import open_video


@dataclass(frozen=True)
class VideoFacts:
    """One file that can be read.

    Attributes:
        codec, profile: FFmpeg's names, such as "h264" and "High"; the profile is empty where there is none.
        container: FFmpeg's name of the format, such as "mp4" or "matroska"; of several, the one that the file's name
            ends in, else the first.
        backend: where `himmel` would take motion from, and `backend_reason` why, in a clause.
        width, height: displayed size in pixels, after rotation.
        rotation: degrees clockwise by which stored pictures are turned for display.
        duration: seconds, from the first shown picture to the end of the last.
        pictures: how many are shown.
        rate: pictures a second, measured.
        bits_per_second: of the pictures alone, without sound and container.
        keyframes: pictures at which decoding may start.
        longest_gap: most seconds from one keyframe to the next, or to the end.
        reordered: share of pictures that the file stores after one that is shown later, 0 to 1: its B pictures, of
            codecs that have them.
        notes: what was unusual, a sentence each.
    """

    codec: str
    profile: str
    container: str
    backend: BackendName
    backend_reason: str
    width: int
    height: int
    rotation: int
    duration: float
    pictures: int
    rate: float
    bits_per_second: float
    keyframes: int
    longest_gap: float
    reordered: float
    notes: tuple[str, ...]


def read_facts(path: Path) -> VideoFacts:
    """Open a file and find out all of it, at the cost of its index and a few pictures.

    Raises:
        VideoError: it cannot be read as a video.
    """
    file = open_video(path)
    # Opened above, so that the sentences about what can't be opened are the same as everywhere.
    with open_stream(path) as (container, stream):
        profile = stream.codec_context.profile or ""
        container_name = _container_name(container.format.name, path)
    choice = choose_backend(file, "auto", has_steps=len(file.pts) > 1)
    width, height = file.displayed_size
    edges = [*file.times[file.keyframes].tolist(), file.duration]
    return VideoFacts(
        codec=file.codec,
        profile=profile,
        container=container_name,
        backend=choice.backend.name,
        backend_reason=choice.reason,
        width=width,
        height=height,
        rotation=90 * file.format.orientation.quarter_turns,
        duration=file.duration,
        pictures=len(file.pts),
        rate=file.average_rate,
        bits_per_second=8 * float(file.index.size.sum(dtype=np.int64)) / file.duration,
        keyframes=len(file.keyframes),
        longest_gap=float(np.diff(edges).max(initial=0.0)),
        reordered=reordered_share(file.index),
        notes=file.notes,
    )


def reordered_share(index: PictureIndex) -> float:
    """Share of the shown pictures that are stored after one that is shown later, 0 to 1."""
    shown = np.argsort(index.order)
    return float((shown < np.maximum.accumulate(shown)).mean())


def _container_name(names: str, path: Path) -> str:
    listed = names.split(",")
    suffix = path.suffix.removeprefix(".").lower()
    return suffix if suffix in listed else listed[0]
