"""`himmel audit`: what the video files of a folder are, and which cannot be read."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from himmel.cli.checks import check_writable
from himmel.cli.console import Column, console, print_json, print_rows, print_table
from himmel.cli.options import Json, refuse_empty

if TYPE_CHECKING:
    from himmel.data.audit_summary import AuditSummary, Spread

_MOST_SHOWN = 20


def audit(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="A folder of videos.", show_default=False, callback=refuse_empty),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="A .jsonl file for what is found, a line a file. If it is there already, only files that it lacks, or "
            "that have changed since, are read.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="How many files to read at once. Default: one for each processor core."),
    ] = None,
    time_limit: Annotated[float, typer.Option(min=1, max=86400, help="Seconds that a file may take.")] = 120,
    memory_limit: Annotated[
        int, typer.Option(min=16, max=2**20, help="Memory that a file may take, in MB; kept on Linux only.")
    ] = 2048,
    every_file: Annotated[
        bool, typer.Option("--every-file", help="Read files whatever their names end in, not only videos.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Read those again that could not be read.")] = False,
    as_json: Json = False,
) -> None:
    """Open each video below FOLDER: codecs, backends, lengths and sizes, and what cannot be read and why."""
    check_writable(output)
    from himmel.data.audit import audit_folder
    from himmel.data.workers import MEGABYTE, Limits

    found = audit_folder(
        folder,
        output=output,
        workers=workers or os.cpu_count() or 1,
        limits=Limits(seconds=time_limit, memory=memory_limit * MEGABYTE),
        every_file=every_file,
        retry=retry,
    )
    if as_json:
        print_json({"sentence": found.sentence, **asdict(found), "output": output})
    else:
        print_audit(found, output)
    if found.unreadable:
        raise typer.Exit(1)


def print_audit(found: "AuditSummary", output: Path | None) -> None:
    """Print tables of what can be read, the files that can't, and a sentence about all."""
    kinds = [
        (kind.codec, kind.backend, kind.container, f"{kind.files:,}", f"{kind.share:.2%}", f"{kind.hours:,.2f}")
        for kind in found.kinds
    ]
    names = [Column(name, text=True, whole=True) for name in ("codec", "backend", "container")]
    if kinds:
        print_table([*names, *map(Column, ("files", "share", "hours"))], kinds)
        console.print()
        columns = Column("figure", text=True, whole=True), *map(Column, ("least", "5%", "median", "95%", "most"))
        print_table(columns, [(_UNITS[name], *_cells(spread)) for name, spread in found.spreads.items()])
        console.print()
    print_rows(
        {
            "lengths": _list(found.lengths) if kinds else "",
            "sizes": _list(found.sizes),
            "notes": f"{found.noted:,} files have something unusual" if found.noted else "",
            "read now": f"{found.read:,} of {found.files:,} files; the others are in {output}"
            if found.read < found.files
            else "",
            "unreadable": "\n".join(one.error for one in found.unreadable[:_MOST_SHOWN]),
            "and more": _tell_more(len(found.unreadable) - _MOST_SHOWN, output),
            "written": "" if output is None else str(output),
        }
    )
    console.print(found.sentence, markup=False, soft_wrap=True)


_UNITS = {
    "duration": "duration, s",
    "rate": "pictures a second",
    "shorter side": "shorter side, pixels",
    "bit rate": "bit rate of pictures, Mbit/s",
    "keyframe distance": "mean keyframe distance, s",
    "longest gap": "longest keyframe distance, s",
    "reordered": "share of reordered (B) pictures",
}


def _cells(spread: "Spread") -> tuple[str, ...]:
    return tuple(f"{value:,.4g}" for value in (spread.least, spread.low, spread.median, spread.high, spread.most))


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items() if count)


def _tell_more(count: int, output: Path | None) -> str:
    if count <= 0:
        return ""
    where = "-o FILE lists them all" if output is None else f"{output} has them all"
    return f"{count:,} unreadable files; {where}"
