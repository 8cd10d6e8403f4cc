"""`himmel compress`: a data set at several qualities."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from himmel._text import by_number
from himmel.choices import Preset
from himmel.cli.console import Column, console, print_json, print_table
from himmel.cli.options import Json, refuse_empty
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.evaluation.compression import Rung

_MOST_SHOWN = 20


def compress(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder of videos, with or without a benchmark's files.",
            show_default=False,
            callback=refuse_empty,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Folder for the ladder. If you run it again, it continues.", show_default=False
        ),
    ],
    qp: Annotated[
        str | None,
        typer.Option(help="Constant quantisers, 1 (best) to 51. Default, unless --crf is given: 18,23,28,33,38,43."),
    ] = None,
    crf: Annotated[
        str | None, typer.Option(help="x264's constant rate factors, 1 to 51, such as 18,23,28; a rung each.")
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="x264's preset: how much work it takes over motion search.")
    ] = "medium",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="How many clips to encode at once. Default: one for each processor core."),
    ] = None,
    time_limit: Annotated[float, typer.Option(min=1, max=604800, help="Seconds that a clip may take on one rung.")] = 6
    * 3600,
    memory_limit: Annotated[
        int, typer.Option(min=16, max=2**20, help="Memory that a clip may take, in MB; kept on Linux only.")
    ] = 4096,
    as_json: Json = False,
) -> None:
    """Encode DATA's videos again as H.264 at several qualities: a copy of the data set each, to run a benchmark on."""
    from himmel.data.workers import MEGABYTE, Limits
    from himmel.evaluation.compression import QUANTISERS, build_ladder
    from himmel.evaluation.recoding import Coding

    chosen = QUANTISERS if qp is None and crf is None else _levels("--qp", qp)
    codings = [Coding("qp", level, preset) for level in chosen]
    codings += [Coding("crf", level, preset) for level in _levels("--crf", crf)]
    rungs = build_ladder(
        data,
        output,
        codings=codings,
        workers=workers or os.cpu_count() or 1,
        limits=Limits(seconds=time_limit, memory=memory_limit * MEGABYTE),
    )
    if as_json:
        print_json([asdict(rung) for rung in rungs])
    else:
        print_ladder(rungs, output)
    if any(rung.failed for rung in rungs):
        raise typer.Exit(1)


def print_ladder(rungs: "tuple[Rung, ...]", output: Path) -> None:
    """Print a row for each rung, what failed, and where everything is."""
    names = ("clips", "Mbit/s", "of source", "PSNR, dB", "SSIM", "vectors", "residual", "intra, %", "motion, px")
    print_table([Column("rung", text=True, whole=True), *map(Column, names)], [_row(rung) for rung in rungs])
    console.print(
        "vectors: per block of 16 x 16 pixels; residual: RMS of luma in code values; intra: share of the area that is "
        "not predicted; motion: mean distance from the source's motion, pixels per picture.",
        style="dim",
    )
    failed = {one.path: one.error for rung in rungs for one in rung.failed}
    for error in list(failed.values())[:_MOST_SHOWN]:
        console.print(error, markup=False, soft_wrap=True)
    first = rungs[0]
    source = first.signals["bits_per_second"].source
    rate = "" if source is None else f", {source / 1e6:.3g} Mbit/s before"
    missing = by_number(len(failed), "{:,} file could not be encoded", "{:,} files could not be encoded")
    clips = by_number(first.clips, "{:,} clip", "{:,} clips")
    rows = by_number(len(rungs), "{} rung", "{} rungs")
    console.print(
        f"{rows} of {clips} ({first.seconds:,.1f} s{rate}) in {output}{f'; {missing}' if failed else ''}.",
        markup=False,
        soft_wrap=True,
    )


def _row(rung: "Rung") -> tuple[str, ...]:
    bits, vectors, residual = (rung.signals[name] for name in ("bits_per_second", "vectors", "residual"))
    covered = rung.signals["covered"].rung
    return (
        rung.name,
        f"{rung.clips:,}",
        _show(None if bits.rung is None else bits.rung / 1e6),
        _show(bits.ratio),
        _show(rung.psnr),
        _show(rung.ssim),
        _show(vectors.rung),
        _show(residual.rung),
        _show(None if covered is None else 100 * (1 - covered)),
        _show(rung.motion_change),
    )


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _levels(option: str, text: str | None) -> tuple[int, ...]:
    """The whole numbers of a list such as "18,23,28".

    Raises:
        UsageError: something in it is no whole number from 1 to 51.
    """
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not word.isdecimal() or not 1 <= int(word) <= 51:
            raise UsageError(f"{option} {text!r} holds {word!r}; give whole numbers from 1 to 51, such as 18,23,28.")
    return tuple(map(int, words))
