"""Where to look into a file to learn whether it yields vectors."""

import numpy as np

from himmel.video.file.opened import VideoFile

_PLACES = 4


def places_to_look_at(file: VideoFile) -> list[int]:
    """A few pictures from all over the file that are no keyframes, by decode-order numbers; [] if all are."""
    others = np.flatnonzero(~file.index.key & file.index.shown)
    if not len(others):
        return []
    return sorted({int(others[k * (len(others) - 1) // _PLACES]) for k in range(_PLACES)})
