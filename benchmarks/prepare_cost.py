"""What preparing a large corpus takes, by rates that were measured: core-hours, hours, storage, money.

    python -m benchmarks.prepare_cost FILE [--cores 64] [--core-hour 0.04] [--terabyte-month 23] [--efficiency 1]

FILE is what `benchmarks.prepare_rates -o FILE` has written. Prints a table in Markdown. Two corpora:

    LLaVA-Video-178K    180,480 videos, 2,799 hours: 56 s each, by the rate for videos of a minute
    a million hours     of videos of a minute, and of ten: what a video costs hardly depends on its length

Prices are parameters: of a core for an hour, and of a terabyte (10^12 bytes) for a month, in any one currency.
`--efficiency` is the share of the measured rate per core that the machines reach with all their cores at work. The time
to copy videos from where they lie is not in it, nor are the videos themselves in the storage.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MILLION_HOURS = 1_000_000


@dataclass(frozen=True)
class Corpus:
    """So many videos, by the figures of videos of so many minutes."""

    name: str
    videos: int
    hours: float
    minutes: float


@dataclass(frozen=True)
class Cost:
    """What a corpus takes by one way of reading.

    Attributes:
        core_hours: of processors.
        hours: on all cores.
        terabytes: of the cache; None where nothing is kept.
        money: for processors, in the currency of the price.
        monthly: for storage.
    """

    corpus: Corpus
    way: str
    core_hours: float
    hours: float
    terabytes: float | None
    money: float
    monthly: float | None


def corpora(minutes: Sequence[float]) -> list[Corpus]:
    """What is worked out for the lengths that were measured."""
    shortest = min(minutes)
    return [
        Corpus("LLaVA-Video-178K", 180_480, 2_799, shortest),
        *(
            Corpus(f"a million hours of videos of {length:g} min", round(60 * _MILLION_HOURS / length), 1e6, length)
            for length in sorted(minutes)
        ),
    ]


def costs(
    measured: dict[str, Any], *, cores: int, core_hour: float, terabyte_month: float, efficiency: float
) -> Iterator[Cost]:
    """Each corpus by each way; `prepare` by its rate with most workers, which is the lowest for each core."""
    most = max(rate["workers"] for rate in measured["rates"] if rate["way"] == "prepare")
    sizes = {one["minutes"]: one["bytes_per_video"] for one in measured["stored"]}
    for corpus in corpora(list(sizes)):
        for rate in measured["rates"]:
            kept = rate["way"] == "prepare"
            if rate["minutes"] != corpus.minutes or (kept and rate["workers"] != most):
                continue
            core_hours = corpus.videos / (rate["videos_per_core_hour"] * efficiency)
            terabytes = corpus.videos * sizes[corpus.minutes] / 1e12 if kept else None
            yield Cost(
                corpus=corpus,
                way=rate["way"],
                core_hours=core_hours,
                hours=core_hours / cores,
                terabytes=terabytes,
                money=core_hours * core_hour,
                monthly=None if terabytes is None else terabytes * terabyte_month,
            )


def table(found: Sequence[Cost], cores: int) -> str:
    """The costs in Markdown."""
    head = ["corpus", "videos", "read by", "core-hours", f"hours on {cores} cores", "cache", "processors", "storage"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for one in found:
        cells = [
            one.corpus.name,
            f"{one.corpus.videos:,}",
            f"`{one.way}`",
            _figure(one.core_hours),
            _figure(one.hours),
            "" if one.terabytes is None else f"{_figure(one.terabytes)} TB",
            _figure(one.money),
            "" if one.monthly is None else f"{_figure(one.monthly)} a month",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figure(value: float) -> str:
    """Three digits."""
    return f"{float(f'{value:.3g}'):,.10g}"


def main() -> None:
    """Read, work out, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--core-hour", type=float, default=0.04)
    parser.add_argument("--terabyte-month", type=float, default=23.0)
    parser.add_argument("--efficiency", type=float, default=1.0)
    options = parser.parse_args()
    found = costs(
        json.loads(options.file.read_text(encoding="utf-8")),
        cores=options.cores,
        core_hour=options.core_hour,
        terabyte_month=options.terabyte_month,
        efficiency=options.efficiency,
    )
    print(table(list(found), options.cores))


if __name__ == "__main__":
    main()
