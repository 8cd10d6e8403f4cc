"""`himmel report`: tables and figures from result files."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from himmel._progress import working
from himmel.cli.console import console, print_json, print_rows, quieten
from himmel.cli.options import Json


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUNS...", help="Folders with results, looked through with all that is in them."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the tables and figures.")],
    clip: Annotated[
        list[Path] | None,
        typer.Option(metavar="VIDEO", help="Also draw the streams of this clip, and what the five conditions show."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild the report's tables and figures from results, and say which are missing."""
    quieten()
    from himmel.evaluation.report.report import write_report

    with working("Writing the report"):
        written = write_report(runs, output, clips=clip or ())
    if as_json:
        print_json(asdict(written))
        return
    console.print(f"[bold]{escape(str(written.folder / 'index.md'))}[/bold]")
    print_rows(
        {
            "runs": str(written.runs),
            "without all answers": "\n".join(map(str, written.partial)),
            "tables without results": ", ".join(written.empty),
            "figures": str(len(written.figures)),
        }
    )
