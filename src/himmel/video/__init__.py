"""A file -> anchors, intervals and dense maps of motion and residual. Knows codecs; knows no torch.

>>> from himmel.video import Video
>>> Video("match.mp4").decompose(num_anchors=8)  # doctest: +SKIP
"""

from himmel.video.draw import draw_streams
from himmel.video.export import save_streams
from himmel.video.results import Anchor, Decomposition, Interval, StepMaps
from himmel.video.video import Video

__all__ = ["Anchor", "Decomposition", "Interval", "StepMaps", "Video", "draw_streams", "save_streams"]
