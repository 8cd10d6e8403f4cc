"""RGB difference at the steps: what decoded pictures show of motion, for comparison with the codec's own signals.

As in TSN (Wang et al., 2016, section 3.2), the signal is the picture minus the one before it, so that it spans one
frame interval, as a velocity does. Both must be decoded, with all that they are predicted from; the other
streams avoid this cost.
"""

import time
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from himmel._text import by_number
from himmel.video.file.decoder import Segment, plan_segments
from himmel.video.file.memory import plane_samples
from himmel.video.file.opened import VideoFile
from himmel.video.file.picture import PictureFormat
from himmel.video.file.pyav import ONE_THREAD
from himmel.video.file.workers import Decoders, run_tasks
from himmel.video.maps.residual import cell_means
from himmel.video.results import Decomposition, Interval

FloatArray = npt.NDArray[np.float32]


def add_rgb_difference(decomposition: Decomposition, file: VideoFile, *, threads: int) -> Decomposition:
    """The same decomposition with `Interval.rgb_difference` filled in; it takes `seconds["rgb_difference"]`."""
    begin = time.perf_counter()
    index = file.index
    frames = np.concatenate([interval.frames for interval in decomposition.intervals]).tolist()
    # A step follows its anchor, so there always is a picture before it.
    pairs = {frame: (int(index.order[frame]), int(index.order[frame - 1])) for frame in frames}
    segments = plan_segments(index, [set(pair) for pair in pairs.values()])
    read = partial(_read_means, file=file, cell=decomposition.cell)
    means: dict[int, FloatArray] = {}
    for found in run_tasks([partial(read, segment=segment) for segment in segments], threads):
        means |= found
    differences = {frame: means[a] - means[b] for frame, (a, b) in pairs.items() if a in means and b in means}
    notes = decomposition.notes
    if len(differences) < len(pairs):
        note = by_number(
            len(pairs) - len(differences),
            "{} step has no RGB difference: it or the picture before it cannot be decoded.",
            "{} steps have no RGB difference: they or the pictures before them cannot be decoded.",
        )
        notes += (note,)
    return replace(
        decomposition,
        intervals=tuple(_fill(interval, differences, decomposition.grid) for interval in decomposition.intervals),
        notes=notes,
        seconds={**decomposition.seconds, "rgb_difference": time.perf_counter() - begin},
    )


def _fill(interval: Interval, differences: dict[int, FloatArray], grid: tuple[int, int]) -> Interval:
    nothing = np.zeros((3, *grid), np.float32)
    rows = [differences.get(frame, nothing) for frame in interval.frames.tolist()]
    return replace(interval, rgb_difference=np.array(rows, np.float32).reshape(len(rows), 3, *grid))


def _read_means(decoders: Decoders, *, segment: Segment, file: VideoFile, cell: int) -> dict[int, FloatArray]:
    """Mean colour of each cell, float32 [3, R, C] in code values, by decode-order number.

    The cells' means alone are kept, so that memory does not grow with the picture's size.
    """
    found: dict[int, FloatArray] = {}
    wanted, reformatter = set(segment.wanted), VideoReformatter()
    for number, frame in decoders.get(file.path, file.index, vectors=False).pictures(segment):
        if number in wanted:
            found[number] = _cell_colours(frame, file.format, cell, reformatter)
    return found


def _cell_colours(frame: VideoFrame, fmt: PictureFormat, cell: int, reformatter: VideoReformatter) -> FloatArray:
    colour = reformatter.reformat(frame, width=fmt.width, height=fmt.height, format="rgb24", **ONE_THREAD)
    picture = plane_samples(colour.planes[0], channels=3).reshape(fmt.height, fmt.width, 3)
    planes = [np.ascontiguousarray(picture[:, :, channel], np.float32) for channel in range(3)]
    known = np.ones(picture.shape[:2], np.uint8)
    return np.stack(cell_means(planes, known, fmt.orientation, cell)).astype(np.float32)
