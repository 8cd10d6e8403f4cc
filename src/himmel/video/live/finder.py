"""Events of a stream as it goes: the same motion, regions and cuts as `Video.describe` finds, a few seconds at a time.

What was seen of a picture is a few numbers, kept for a minute or so. Camera segments and regions are found anew among
them each time, and told once they are over; those that last are told in pieces.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from himmel.video.arguments import choose_cell
from himmel.video.backends.choice import candidates, choose_backend
from himmel.video.describe.describe import find_cuts, samples_of
from himmel.video.describe.reading import Observation, choose_pictures, observe_pictures
from himmel.video.describe.results import CameraSegment, Cut, MovingRegion
from himmel.video.describe.segments import find_segments
from himmel.video.describe.tracks import Sighting, follow
from himmel.video.describe.words import region_words, segment_words
from himmel.video.file.opened import VideoFile

# A segment or a region is told this long after its end, in seconds, when nothing that comes can change it.
_SETTLED: Final = 1.5
# What lasts longer is told in pieces of this length.
_LONGEST: Final = 60.0
# How long observations are kept.
_KEPT: Final = 90.0
# A cut is looked for where the pictures after it are known.
_AFTER_CUT: Final = 0.5
# Distances between keyframes that are remembered, and from which share of the longest on one is regular.
_GAPS: Final = 64
_REGULAR: Final = 0.98
# Pictures that are read of one piece, and parsed to find its cuts, at most.
_MOST_READ: Final = 1000
_MOST_PARSED: Final = 64
MAX_CELLS: Final = 80
# Shorter stretches of which nothing is known are not told.
_UNKNOWN: Final = 1.0


@dataclass(frozen=True)
class Found:
    """An event, with times in seconds of the stream."""

    start: float
    end: float
    words: str
    what: CameraSegment | MovingRegion | Cut


class EventFinder:
    """Finds events in pieces of one stretch of a stream, which come in order and may overlap.

    Args:
        per_second: pictures to read of each second.
        threads: that read.
    """

    def __init__(self, *, per_second: float, threads: int) -> None:
        self._per_second, self._threads = per_second, threads
        self._seen: deque[Observation] = deque()
        self._cuts: list[float] = []
        self._breaks: list[float] = []
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._size = (1, 1)
        self._read_to: float | None = None
        self._camera_from: float | None = None
        self._cuts_to = self._regions_to = 0.0

    def add(self, file: VideoFile, until: float, *, last: bool) -> list[Found]:
        """Events that are over by now, in order of their beginning.

        Args:
            file: a piece, whose own clock is the stream's; it reaches back to before the pictures that are new.
            until: up to where all of its pictures are there, in seconds of the stream.
            last: nothing more comes of this stretch.
        """
        if self._read_to is None or self._camera_from is None:
            self._read_to = self._camera_from = self._cuts_to = self._regions_to = file.start
        begin, end = max(self._read_to, file.start) - file.start, until - file.start
        cuts = self._find_cuts(file, until if last else until - _AFTER_CUT)
        if end > begin:
            self._observe(file.between(begin, min(end, file.duration)))
            self._read_to = until
        self._size = file.displayed_size
        return sorted([*cuts, *self._tell(until, last=last)], key=lambda one: (one.start, one.end))

    def _observe(self, part: VideoFile) -> None:
        if len(part.times) < 2:
            return
        backend, _ = choose_backend(part, "auto", has_steps=True)
        cell = choose_cell(part.displayed_size, None, most=MAX_CELLS)
        with backend.source(part, accumulate=backend.always_accumulates) as source:
            frames = choose_pictures(source, self._per_second, _MOST_READ)
            seen, _ = observe_pictures(source, backend, frames, cell, self._threads)
        self._seen += [replace(one, begin=one.begin + part.start, end=one.end + part.start) for one in seen]

    def _find_cuts(self, file: VideoFile, until: float) -> list[Found]:
        gaps = np.diff(file.keyframes)
        times = file.times[file.keyframes] + file.start
        self._gaps.extend(gaps[times[1:] > self._cuts_to].tolist())
        longest = max([*self._gaps, *gaps.tolist()], default=0)
        # An encoder's limit between keyframes shows in the longest distance, as far as one has been seen.
        early = {round(time, 6) for time, gap in zip(times[1:], gaps, strict=True) if gap < _REGULAR * longest - 1}
        found = []
        for cut in find_cuts(file, candidates(file.codec, "auto")[0], _MOST_PARSED):
            time = cut.time + file.start
            if self._cuts_to < time <= until and (cut.reason != "keyframe" or round(time, 6) in early):
                found.append(Found(time, time, "cut to another scene", Cut(time, cut.reason)))
        self._cuts_to = max(self._cuts_to, until)
        self._cuts += [one.start for one in found]
        return found

    def _tell(self, until: float, *, last: bool) -> list[Found]:
        settled = until if last else until - _SETTLED
        sightings = [Sighting(one.begin, one.end, one.blobs) for one in self._seen]
        regions = follow(sightings, sorted(self._cuts + self._breaks), self._size)
        told: list[Found] = [
            Found(region.start, region.end, region_words(region), region)
            for region in regions
            if (self._regions_to < region.end <= settled) or (last and region.end > self._regions_to)
        ]
        self._regions_to = max(self._regions_to, settled)
        if any(region.end > settled and region.start < settled - _LONGEST for region in regions):
            self._breaks.append(settled)
        told += self._tell_camera(until, settled, regions, last=last)
        self._forget(until)
        return told

    def _tell_camera(self, until: float, settled: float, regions: Sequence[MovingRegion], *, last: bool) -> list[Found]:
        begin = self._camera_from
        assert begin is not None
        if until <= begin:
            return []
        samples = samples_of([one for one in self._seen if (one.begin + one.end) / 2 >= begin])
        samples = replace(samples, times=samples.times - begin)
        cuts = [time - begin for time in self._cuts if begin < time < until]
        segments = [
            replace(one, start=one.start + begin, end=one.end + begin)
            for one in find_segments(samples, cuts, until - begin)
        ]
        told = []
        for k, segment in enumerate(segments):
            is_over = last or (segment.end <= settled and k + 1 < len(segments))
            for piece in _pieces(segment, settled, is_over=is_over):
                self._camera_from = piece.end
                if piece.motion is not None or piece.end - piece.start >= _UNKNOWN:
                    told.append(Found(piece.start, piece.end, segment_words(piece, regions), piece))
            if not is_over:
                break
        return told

    def _forget(self, until: float) -> None:
        while self._seen and self._seen[0].end < until - _KEPT:
            self._seen.popleft()
        self._cuts = [time for time in self._cuts if time >= until - _KEPT]
        self._breaks = [time for time in self._breaks if time >= until - _KEPT]


def _pieces(segment: CameraSegment, settled: float, *, is_over: bool) -> Iterator[CameraSegment]:
    """What may be told of a segment: all of it, if it is over, in pieces that are not too long."""
    begin = segment.start
    while min(segment.end, settled) - begin >= _LONGEST:
        yield replace(segment, start=begin, end=begin + _LONGEST)
        begin += _LONGEST
    if is_over and segment.end > begin:
        yield replace(segment, start=begin)
