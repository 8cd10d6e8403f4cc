"""What is said in the part of a video that an item asks about."""

import math
from collections.abc import Sequence

from himmel.data.subtitles import read_subtitles, spoken
from himmel.evaluation.items import Item


def subtitles_for(item: Item, times: Sequence[float] | None = None) -> str | None:
    """What is said in the frames at `times` (None: in all of the item's part of the video).

    Returns:
        None where the item has no subtitle file; "" where nothing is said then.

    Raises:
        HimmelError: the file cannot be read.
    """
    if item.subtitles is None or not item.subtitles.is_file():
        return None
    return spoken(
        read_subtitles(item.subtitles),
        times=times,
        begin=item.start or 0.0,
        end=math.inf if item.end is None else item.end,
        offset=item.subtitles_start,
    )
