"""Where new scenes begin in a stretch of a video."""

from typing import Final

from himmel.choices import Backend
from himmel.video.video import Video

ROUNDING: Final = 1e-6
"""Seconds by which times that are added up may miss."""


def find_cuts(video: Video, start: float, end: float, *, backend: Backend, threads: int | None) -> tuple[float, ...]:
    """Cuts in a stretch, in seconds of the video.

    They are looked for in the whole video, since they are told by what is unlike the rest of it: a stretch that begins
    between two keyframes doesn't show that a third one came early.
    """
    # They are found by the sizes of all pictures, so that one picture's motion is enough to ask for.
    cuts = video.describe(backend=backend, max_pictures=1, threads=threads).cuts
    return tuple(cut.time for cut in cuts if start - ROUNDING <= cut.time < end - ROUNDING)
