"""Pictures that lead a recording without being decodable.

In an open group of pictures, some follow their keyframe in the file but are shown before it, predicted from pictures
before it as well (RASL in HEVC, 3.127; B pictures behind a recovery point in H.264, or of an open GOP in MPEG-2). Where
a recording is cut at such a keyframe, players show nothing of them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from himmel._text import by_number
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.index import PictureIndex

# Beginnings that are looked at in one file.
_MOST_PARTS = 256
# More pictures do not lead a keyframe: decoders hold back no more (H.264, A.3.1).
_MOST_LEADING = 16


def without_lost_leads(path: Path, index: PictureIndex) -> PictureIndex:
    """The index without the leading pictures that do not come when reading begins at their recording's keyframe."""
    leading = [(start, numbers) for start in _first_keyframes(index) if (numbers := _leading(index, start))]
    if not leading:
        return index
    shown = index.shown.copy()
    with Decoder(path, index, vectors=False, pixels=False) as decoder:
        for start, numbers in leading:
            came = {number for number, frame in decoder.pictures(Segment(start, numbers)) if not frame.is_corrupt}
            shown[list(set(numbers) - came)] = False
    lost = int(np.sum(index.shown & ~shown))
    if not lost:
        return index
    note = by_number(
        lost,
        "{} picture before the first keyframe depends on pictures that are not in the file: it is left out.",
        "{} pictures before the first keyframe depend on pictures that are not in the file: they are left out.",
    )
    return replace(index, shown=shown, order=index.order[shown[index.order]], notes=(*index.notes, note))


def _first_keyframes(index: PictureIndex) -> list[int]:
    keys = np.flatnonzero(index.key)
    return keys[np.unique(index.part[keys], return_index=True)[1]][:_MOST_PARTS].tolist()


def _leading(index: PictureIndex, start: int) -> tuple[int, ...]:
    """Shown pictures right behind a keyframe in the file that are shown before it."""
    behind = np.arange(start + 1, min(start + 1 + 2 * _MOST_LEADING, len(index.rank)))
    leads = (index.rank[behind] < index.rank[start]) & (index.part[behind] == index.part[start])
    return tuple(behind[leads & index.shown[behind]].tolist())
