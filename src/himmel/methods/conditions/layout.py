"""Which pictures the five conditions show, and in which order (report, appendix S and the head of appendix T)."""

from dataclasses import dataclass
from typing import Final, Literal

from himmel.choices import Interleaving

PictureKind = Literal["frame", "motion", "residual"]


@dataclass(frozen=True)
class Layout:
    """A condition's pictures, interval by interval.

    Attributes:
        intervals: for each of the video's equal stretches of time, what is shown of it in time order. A frame is the
            picture that the stretch begins with. A motion or residual map is that of one moment after it.
        summary: in a few words, for tables and pictures.
    """

    intervals: tuple[tuple[PictureKind, ...], ...]
    summary: str

    @property
    def num_pictures(self) -> int:
        """How many pictures are shown: 8."""
        return sum(map(len, self.intervals))

    @property
    def steps_per_interval(self) -> int:
        """Moments read in each interval; one where none is shown, which is the least that a video is read with."""
        return max(1, *(sum(kind != "frame" for kind in kinds) for kinds in self.intervals))


LAYOUTS: Final[dict[Interleaving, Layout]] = {
    "A": Layout((("frame",),) * 8, "8 frames"),
    "B": Layout((("frame", "motion"),) * 4, "4 frames, 4 motion maps"),
    "C": Layout(
        (("frame", "motion", "motion", "motion"), ("frame", "residual", "residual", "residual")),
        "2 frames, 3 motion maps, 3 residual maps",
    ),
    "D": Layout((("motion",),) * 8, "8 motion maps"),
    "E": Layout((("residual",),) * 8, "8 residual maps"),
}
"""The report's orders: in B I1, MV1, I2, MV2, I3, MV3, I4, MV4; in C I1, MV1, MV2, MV3, I2, R1, R2, R3.

The report doesn't say which moments the maps belong to. Here every order is in time: the video is cut into as many
equal stretches as the condition has frames (8 in D and E, which have none), I_k begins the k-th, and the maps that
follow I_k are of moments spread evenly over the pictures after it. So C shows the motion of the first half and the
residual of the second.
"""
