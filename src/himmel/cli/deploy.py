"""`himmel merge`, `card` and `push`: making a checkpoint ready for others and publishing it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from himmel._progress import working
from himmel.choices import Precision
from himmel.cli.console import print_json, quieten
from himmel.cli.options import Json
from himmel.errors import UsageError

Checkpoint = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="A checkpoint folder or repository name.", show_default=False)
]
Folder = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint folder.", show_default=False)]
Licence = Annotated[
    str | None, typer.Option("--license", help="Licence, by the hub's name for it, such as apache-2.0.")
]
Results = Annotated[
    list[Path] | None,
    typer.Option("--results", help="A JSON file that `himmel eval` wrote about it. Repeat for several."),
]


def merge(
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
    host: Annotated[str | None, typer.Option(help="Folder of a host to use instead of the checkpoint's own.")] = None,
    dtype: Annotated[
        Precision | None, typer.Option(help="Type of the weights. Default: as the host is stored; nano: float32.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Merge CHECKPOINT's LoRA into its host, and write both as one complete checkpoint."""
    from himmel.publish.merged import merge_checkpoint

    quieten()
    with working("Merging"):
        merged = merge_checkpoint(checkpoint, output, host=host, dtype=dtype)
    _tell(
        asdict(merged),
        f"LoRA of rank {merged.lora_rank} is in the weights of {merged.host} ({merged.dtype}); "
        f"the checkpoint is in {merged.checkpoint}",
        as_json=as_json,
    )


def card(
    checkpoint: Folder,
    results: Results = None,
    name: Annotated[str | None, typer.Option(help="Name of the model on the card. Default: the folder's name.")] = None,
    licence: Licence = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing README.md.")] = False,
    as_json: Json = False,
) -> None:
    """Write CHECKPOINT's model card (README.md) from its settings, training records and results."""
    from himmel.publish.card import write_card

    path = write_card(checkpoint, results=results or [], name=name, licence=licence, overwrite=overwrite)
    _tell({"card": str(path)}, f"The model card is {path}", as_json=as_json)


def push(
    checkpoint: Folder,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="OWNER/NAME.", show_default=False)],
    results: Results = None,
    licence: Licence = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public", help="Whether a new repository is private. Default: your account's setting."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Upload CHECKPOINT to the Hugging Face hub in one commit. Log in first with `hf auth login`."""
    from himmel.publish.card import CARD, write_card
    from himmel.publish.hub import push_folder

    quieten()
    if not (checkpoint / CARD).exists():
        write_card(checkpoint, results=results or [], name=repository, licence=licence)
    elif results or licence:
        raise UsageError(f"{str(checkpoint / CARD)!r} already exists; replace it first with `himmel card --overwrite`.")
    address = push_folder(checkpoint, repository, private=private, message="Upload HY-Himmel checkpoint")
    _tell({"commit": address}, f"Uploaded: {address}", as_json=as_json)


def _tell(content: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(content)
    else:
        typer.echo(sentence)
