"""Where the motion tokens of the intervals stand among the anchors (design, section 3, "Placement")."""

from collections.abc import Sequence

from himmel.hosts.protocol import Run


def place_per_anchor(anchors: Sequence[Sequence[Run]], intervals: Sequence[Run]) -> list[Run]:
    """Each interval after its anchor; either list may be empty, for prompts without motion or without pictures.

    Args:
        anchors: for each anchor the runs of its picture.
        intervals: for each anchor the run of its interval's motion tokens.
    """
    count = max(len(anchors), len(intervals))
    runs: list[Run] = []
    for index in range(count):
        runs += [*(anchors[index] if anchors else ()), *(intervals[index : index + 1])]
    return runs
