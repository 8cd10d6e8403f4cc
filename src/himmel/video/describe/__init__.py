"""Motion in words: what the camera does, what moves against the scene, and where cuts are, from motion vectors alone.

Nothing is decoded where the stream can be parsed (backend "bitstream").

>>> from himmel.video import Video
>>> print(Video("bunny.mp4").describe().text())  # doctest: +SKIP
"""

from himmel.video.describe.draw import draw_timeline
from himmel.video.describe.results import (
    Box,
    CameraMotion,
    CameraSegment,
    Cut,
    MovingRegion,
    Samples,
    Timeline,
)

__all__ = ["Box", "CameraMotion", "CameraSegment", "Cut", "MovingRegion", "Samples", "Timeline", "draw_timeline"]
