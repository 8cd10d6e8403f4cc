"""What PyAV keeps for FFmpeg, as arrays over the same memory.

NumPy drops Ctrl-C if it comes while it asks PyAV's objects for their memory, as `frame.to_ndarray()` has it do;
`memoryview` passes it on.
"""

import numpy as np
import numpy.typing as npt
from av.sidedata.motionvectors import MotionVectors
from av.video.plane import VideoPlane

ByteArray = npt.NDArray[np.uint8]

VECTOR_RECORD = np.dtype(
    [
        ("source", np.int32),
        ("w", np.uint8),
        ("h", np.uint8),
        ("src_x", np.int16),
        ("src_y", np.int16),
        ("dst_x", np.int16),
        ("dst_y", np.int16),
        ("flags", np.uint64),
        ("motion_x", np.int32),
        ("motion_y", np.int32),
        ("motion_scale", np.uint16),
    ],
    align=True,
)
"""FFmpeg's `AVMotionVector` (libavutil/motion_vector.h)."""


def plane_samples(plane: VideoPlane, *, channels: int = 1) -> ByteArray:
    """The samples of a plane of 8 bits, uint8 [height, width * channels], valid as long as the plane is."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : channels * plane.width]


def vector_records(vectors: MotionVectors) -> npt.NDArray[np.void]:
    """The vectors of a picture, `VECTOR_RECORD` [V], valid as long as they are."""
    return np.frombuffer(memoryview(vectors), VECTOR_RECORD)
