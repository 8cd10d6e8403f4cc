"""Options that several verbs share, and the one way to make an option that can be repeated and has named choices."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer


def refuse_empty(path: str | None) -> str | None:
    """The path, unless it is the empty one, which would mean the current folder."""
    if path == "":
        raise typer.BadParameter("The path is empty; name a file.")
    return path


Accumulate = Annotated[
    bool | None,
    typer.Option(
        "--accumulate/--no-accumulate",
        help="Follow motion and residual back to the start of each interval (as CoViAR does). Default: as trained.",
    ),
]
Adapter = Annotated[
    Path | None, typer.Option(help="Checkpoint folder. Default: the checkpoint that comes with himmel.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Picture = Annotated[
    Path | None, typer.Option(help="Also draw anchors, motion and residual into this .png, .jpg, .svg or .pdf file.")
]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="How many processor threads to use.")]
VideoFile = Annotated[
    str, typer.Argument(metavar="VIDEO", help="A video file.", show_default=False, callback=refuse_empty)
]


def repeatable(choices: Any, help_text: str) -> Any:
    """An option for `list[str]` whose values are those of a `Literal`.

    Typer takes a `Literal` as the type of an option, but not as the type of a list's items.
    """
    allowed = get_args(choices)

    def check(values: list[str] | None) -> list[str] | None:
        for value in values or []:
            if value not in allowed:
                raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, allowed))}.")
        return values

    return typer.Option(
        help=f"{help_text} Repeat for several.",
        metavar=f"<{'|'.join(allowed)}>",
        callback=check,
        autocompletion=lambda: list(allowed),
    )
