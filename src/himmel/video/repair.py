"""Anchors that turn out to be damaged give way to the next whole picture."""

import numpy as np
import numpy.typing as npt

from himmel.video.backends.protocol import Extract
from himmel.video.file.damage import next_whole_picture
from himmel.video.file.decoder import Decoder
from himmel.video.file.opened import VideoFile

IntArray = npt.NDArray[np.int64]


def replace_damaged(file: VideoFile, anchors: IntArray, extract: Extract) -> tuple[IntArray, tuple[str, ...]]:
    """Anchors, of which some are moved, and a sentence about each that is damaged.

    An anchor is moved at most to the picture before the next anchor; where no picture up to there is whole, it stays.

    Args:
        anchors: int64 [n], presentation indices.
        extract: what came of them.
    """
    numbers = file.index.order[anchors].tolist()
    bad = [k for k, number in enumerate(numbers) if number not in extract.images or number in extract.damaged]
    if not bad:
        return anchors, ()
    moved, notes = anchors.copy(), []
    known = file.with_references()
    with Decoder(file.path, known.index, vectors=False) as decoder:
        for k in bad:
            stop = int(anchors[k + 1]) if k + 1 < len(anchors) else len(file.times)
            found = next_whole_picture(decoder, int(anchors[k]), stop)
            begin = f"The anchor at {file.times[anchors[k]]:.3f} s is damaged"
            if found is not None:
                moved[k] = found
                notes.append(f"{begin}: the next whole picture, at {file.times[found]:.3f} s, takes its place.")
            elif numbers[k] in extract.images:
                notes.append(f"{begin}, and no whole picture was found before the next anchor: it is used as it is.")
    return moved, tuple(notes)
