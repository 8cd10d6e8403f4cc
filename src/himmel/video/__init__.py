"""A file -> anchors, intervals and dense maps of motion and residual. Knows codecs; knows no torch.

>>> from himmel.video import Video
>>> Video("bunny.mp4").decompose(num_anchors=8)  # doctest: +SKIP
"""

from himmel.video.describe import Timeline, draw_timeline
from himmel.video.draw import draw_streams
from himmel.video.export import save_streams
from himmel.video.full_rate import FullRate
from himmel.video.live import LiveEvent, LiveSpan, LiveVideo
from himmel.video.maps.vectors import VECTOR
from himmel.video.results import Anchor, Decomposition, Interval, Picture, PictureVectors, Spending, StepMaps
from himmel.video.shards import save_every
from himmel.video.video import Video
from himmel.video.view import draw_overlay, draw_page

__all__ = [
    "VECTOR",
    "Anchor",
    "Decomposition",
    "FullRate",
    "Interval",
    "LiveEvent",
    "LiveSpan",
    "LiveVideo",
    "Picture",
    "PictureVectors",
    "Spending",
    "StepMaps",
    "Timeline",
    "Video",
    "draw_overlay",
    "draw_page",
    "draw_streams",
    "draw_timeline",
    "save_every",
    "save_streams",
]
