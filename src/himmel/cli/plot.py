"""`himmel plot`: the curves of trainings."""

from pathlib import Path
from typing import Annotated

import typer

from himmel._progress import working
from himmel.cli.console import print_json, quieten
from himmel.cli.options import Json


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders that `himmel train` wrote, looked through with all in them."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the figures.")],
    as_json: Json = False,
) -> None:
    """Draw the curves of trainings: losses, cosine and retrieval of both stages, as PNG and SVG."""
    quieten()
    from himmel.evaluation.report.report import plot_training

    with working("Drawing"):
        names = plot_training(runs, output)
    if as_json:
        print_json({"folder": str(output), "figures": names})
        return
    for name in names:
        typer.echo(str(output / f"{name}.png"))
