"""`himmel merge`, `card` and `push`: a checkpoint on its way to those who use it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from himmel.errors import UsageError

Checkpoint = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="A checkpoint folder or repository name.", show_default=False)
]
Folder = Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Licence = Annotated[str | None, typer.Option("--license", help="The hub's name of one, such as apache-2.0.")]
Results = Annotated[
    list[Path] | None, typer.Option("--results", help="A JSON file that `himmel eval` wrote about it; repeatable.")
]


def merge(
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.", show_default=False)],
    host: Annotated[str | None, typer.Option(help="Folder of another host than the checkpoint's own.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; default: as the host is stored, nano in float32.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fold CHECKPOINT's LoRA into its host and write both as a checkpoint that needs nothing else."""
    from himmel import _report
    from himmel.publish import merge_checkpoint

    _quieten()
    with _report.progress("Merging", quiet=as_json):
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
    name: Annotated[str | None, typer.Option(help="What the card calls it; default: the folder's name.")] = None,
    licence: Licence = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a README.md that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write CHECKPOINT's model card, README.md, from its settings, its training records and its results."""
    from himmel.publish.card import write_card

    path = write_card(checkpoint, results=results or [], name=name, licence=licence, overwrite=overwrite)
    _tell({"card": str(path)}, f"The model card is {path}", as_json=as_json)


def push(
    checkpoint: Folder,
    repository: Annotated[str, typer.Argument(metavar="REPOSITORY", help="OWNER/NAME.", show_default=False)],
    results: Results = None,
    licence: Licence = None,
    private: Annotated[bool | None, typer.Option("--private/--public", help="Of a repository that is made.")] = None,
    as_json: Json = False,
) -> None:
    """Upload CHECKPOINT to the hub in one commit, with a model card if it has none; `hf auth login` comes before."""
    from himmel.publish.card import CARD, write_card
    from himmel.publish.hub import push_folder

    _quieten()
    if not (checkpoint / CARD).exists():
        write_card(checkpoint, results=results or [], name=repository, licence=licence)
    elif results or licence:
        raise UsageError(f"{str(checkpoint / CARD)!r} is there already; rewrite it by `himmel card --overwrite` first.")
    address = push_folder(checkpoint, repository, private=private, message="Upload HY-Himmel checkpoint")
    _tell({"commit": address}, f"Uploaded: {address}", as_json=as_json)


def _tell(content: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(content, indent=2) if as_json else sentence)


def _quieten() -> None:
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
