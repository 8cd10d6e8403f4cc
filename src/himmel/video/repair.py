"""Damaged anchors are replaced by undamaged pictures nearby."""

import numpy as np
import numpy.typing as npt

from himmel.video.backends.protocol import Extract
from himmel.video.file.damage import nearest_whole_picture
from himmel.video.file.decoder import Decoder
from himmel.video.file.opened import VideoFile

IntArray = npt.NDArray[np.int64]


def replace_damaged(file: VideoFile, anchors: IntArray, extract: Extract) -> tuple[IntArray, tuple[str, ...]]:
    """The anchors with damaged ones moved, each between its neighbours, and a sentence about each damaged one.

    A damaged anchor stays where it is if no undamaged picture is near it.

    Args:
        anchors: int64 [n], presentation indices.
        extract: what came of them.
    """
    numbers = file.index.order[anchors].tolist()
    bad = [k for k, number in enumerate(numbers) if number not in extract.images or number in extract.damaged]
    if not bad:
        return anchors, ()
    moved, notes = anchors.copy(), []
    with Decoder(file.path, file.with_references().index, vectors=False) as decoder:
        for k in bad:
            begin = int(moved[k - 1]) + 1 if k else 0
            stop = int(anchors[k + 1]) if k + 1 < len(anchors) else len(file.times)
            found = nearest_whole_picture(decoder, int(anchors[k]), begin, stop)
            what = f"The anchor at {file.times[anchors[k]]:.3f} s is damaged"
            if found is not None:
                moved[k] = found
                which = "next" if found > anchors[k] else "previous"
                notes.append(f"{what}: the {which} undamaged picture, at {file.times[found]:.3f} s, is used instead.")
            elif numbers[k] in extract.images:
                notes.append(f"{what}, and no undamaged picture is near it: the damaged one is used.")
    return moved, tuple(notes)
