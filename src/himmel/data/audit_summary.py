"""What an audit found, in tables: codecs and backends, lengths, sizes, rates, and what could not be read."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from himmel.data.facts import VideoFacts
from himmel.data.journal import Audited
from himmel.data.workers import Cause

LENGTHS: Final = (("up to 30 s", 30.0), ("30 to 60 s", 60.0), ("1 to 2 min", 120.0), ("2 to 3 min", 180.0),
                  ("3 to 10 min", 600.0), ("10 to 60 min", 3600.0), ("over an hour", float("inf")))  # fmt: skip
"""Groups of durations and their upper ends in seconds; the first four are those of LLaVA-Video-178K."""
_MOST_SIZES: Final = 10


@dataclass(frozen=True)
class Kind:
    """Files of one codec that one backend would read, in one container.

    Attributes:
        files: how many.
        share: of all files that can be read, 0 to 1.
        hours: their duration together.
    """

    codec: str
    backend: str
    container: str
    files: int
    share: float
    hours: float


@dataclass(frozen=True)
class Spread:
    """How a figure is distributed: its ends, and below what 5, 50 and 95 per cent of the files lie."""

    least: float
    low: float
    median: float
    high: float
    most: float


@dataclass(frozen=True)
class Unreadable:
    """A file without facts.

    Attributes:
        path: relative to the audited folder.
        cause, error: see `Audited`.
    """

    path: str
    cause: Cause
    error: str


@dataclass(frozen=True)
class AuditSummary:
    """All files of a folder.

    Attributes:
        folder: as it was named.
        files: how many there are, `readable` of them can be read; `read` were opened by this run, the others before.
        bytes, hours: of those that can be read.
        noted: files with something unusual.
        kinds: most files first.
        lengths: files by duration, in the order of `LENGTHS`.
        sizes: the most frequent displayed sizes, such as "1280 x 720", and how many have another.
        spreads: by figure: "duration" (s), "rate" (pictures/s), "shorter side" (pixels), "bit rate" (Mbit/s),
            "keyframe distance" (mean of each file, s), "longest gap" (between keyframes, s), "reordered" (share of
            pictures, 0 to 1). Empty if no file can be read.
        unreadable: in the order in which they were found.
    """

    folder: str
    files: int
    readable: int
    read: int
    bytes: int
    hours: float
    noted: int
    kinds: tuple[Kind, ...]
    lengths: dict[str, int]
    sizes: dict[str, int]
    spreads: dict[str, Spread]
    unreadable: tuple[Unreadable, ...]

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        if not self.readable:
            return f"None of the {self.files:,} files in {self.folder} can be read."
        codecs, backends = Counter[str](), Counter[str]()
        for kind in self.kinds:
            codecs[kind.codec] += kind.files
            backends[kind.backend] += kind.files
        failed = len(self.unreadable)
        return (
            f"{self.readable:,} of {self.files:,} files can be read ({self.hours:,.2f} h), {failed:,} cannot; "
            f"codecs: {_shares(codecs)}; motion would come from {_shares(backends)}."
        )


def summarise(
    folder: Path, lines: Callable[[], Iterable[Audited]], current: Mapping[str, tuple[int, int]], *, read: int
) -> AuditSummary:
    """Count the lines of files that are there as they were when they were read; of several, the last counts.

    Args:
        lines: reads them; is called twice, so that they need not be held.
        current: (bytes, modified) of each file by its path.
        read: how many files were opened by this run.
    """
    last: dict[str, int] = {}
    for number, one in enumerate(lines()):
        if current.get(one.path) == (one.bytes, one.modified):
            last[one.path] = number
    kinds: Counter[tuple[str, str, str]] = Counter()
    seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    sizes: Counter[str] = Counter()
    figures: dict[str, array[float]] = {}
    unreadable = []
    total = noted = 0
    for number, one in enumerate(lines()):
        if last.get(one.path) != number:
            continue
        if one.video is None:
            unreadable.append(Unreadable(one.path, one.cause or "unexpected", one.error or ""))
            continue
        video = one.video
        kind = video.codec, video.backend, video.container
        kinds[kind] += 1
        seconds[kind] += video.duration
        sizes[f"{video.width} x {video.height}"] += 1
        total += one.bytes
        noted += bool(video.notes)
        for name, value in _figures(video).items():
            figures.setdefault(name, array("d")).append(value)
    readable = sum(kinds.values())
    return AuditSummary(
        folder=str(folder),
        files=readable + len(unreadable),
        readable=readable,
        read=read,
        bytes=total,
        hours=sum(seconds.values()) / 3600,
        noted=noted,
        kinds=tuple(Kind(*kind, count, count / readable, seconds[kind] / 3600) for kind, count in kinds.most_common()),
        lengths=_lengths(np.array(figures.get("duration", []))),
        sizes=_most_frequent(sizes),
        spreads={name: _spread(np.array(values)) for name, values in figures.items()},
        unreadable=tuple(unreadable),
    )


def _figures(video: VideoFacts) -> dict[str, float]:
    return {
        "duration": video.duration,
        "rate": video.rate,
        "shorter side": float(min(video.width, video.height)),
        "bit rate": video.bits_per_second / 1e6,
        "keyframe distance": video.duration / max(video.keyframes, 1),
        "longest gap": video.longest_gap,
        "reordered": video.reordered,
    }


def _lengths(durations: npt.NDArray[np.float64]) -> dict[str, int]:
    group = np.searchsorted([end for _, end in LENGTHS], durations)
    counts = np.bincount(group, minlength=len(LENGTHS)).tolist()
    return {name: count for (name, _), count in zip(LENGTHS, counts, strict=True)}


def _most_frequent(sizes: Counter[str]) -> dict[str, int]:
    first = dict(sizes.most_common(_MOST_SIZES))
    others = sizes.total() - sum(first.values())
    return first | ({"other": others} if others else {})


def _spread(values: npt.NDArray[np.float64]) -> Spread:
    return Spread(*np.quantile(values, (0.0, 0.05, 0.5, 0.95, 1.0)).tolist())


def _shares(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count / counts.total():.1%}" for name, count in counts.most_common())
