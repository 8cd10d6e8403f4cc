"""How stored pictures are turned for display: quarter turns, and a mirror for front cameras."""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from av import VideoFrame

from himmel.video.file.side_data import side_data


@dataclass(frozen=True)
class Orientation:
    """Turn clockwise by `quarter_turns` x 90 degrees, then mirror left to right if `mirrored`."""

    quarter_turns: int = 0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """Read the display matrix that the container attached to a picture; odd angles go to the nearest quarter."""
        data = side_data(frame, "DISPLAYMATRIX")
        if data is None or data.buffer_size < 36:
            return cls()
        # Row vectors times the matrix: (x', y') = (a x + c y, b x + d y), in 16.16 fixed point (ISO 14496-12, 6.2.2).
        a, b, _, c, d = struct.unpack_from("=9i", data)[:5]
        mirrored = a * d - b * c < 0
        if mirrored:
            a, c = -a, -c
        return cls(round(math.degrees(math.atan2(b, a)) / 90) % 4, mirrored)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Displayed (width, height) of a stored picture."""
        return (height, width) if self.quarter_turns % 2 else (width, height)

    def picture(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn an array [H, W, ...]; returns a contiguous array, the same one if nothing has to be turned."""
        turned = np.rot90(array, -self.quarter_turns) if self.quarter_turns else array
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)

    def planes(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn each plane of an array [N, H, W]; a view, the array itself if nothing has to be turned."""
        turned = np.rot90(array, -self.quarter_turns, (1, 2)) if self.quarter_turns else array
        return turned[:, :, ::-1] if self.mirrored else turned

    def vectors(self, dx: npt.NDArray[Any], dy: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Turn displacements (x right, y down)."""
        for _ in range(self.quarter_turns):
            dx, dy = -dy, dx
        return (-dx, dy) if self.mirrored else (dx, dy)

    def boxes(self, boxes: npt.NDArray[np.int64], width: int, height: int) -> npt.NDArray[np.int64]:
        """Turn boxes [V, 4] of (x0, y0, x1, y1) inside a stored picture of `width` x `height`."""
        x0, y0, x1, y1 = boxes.T
        for _ in range(self.quarter_turns):
            x0, y0, x1, y1 = height - y1, x0, height - y0, x1
            width, height = height, width
        if self.mirrored:
            x0, x1 = width - x1, width - x0
        return np.stack((x0, y0, x1, y1), axis=1)
