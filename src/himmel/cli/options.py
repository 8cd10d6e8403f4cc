"""Options that several verbs share, and the one way to make an option that can be repeated and has named choices."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from himmel._options import read_options
from himmel.choices import AnswerForm, DeviceMap, Listing, MethodName, Quantization, Scoring, TimesName
from himmel.errors import UsageError


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
AnswerFormChoice = Annotated[
    AnswerForm, typer.Option(help="Whether a choice's text is scored, or the letter that it is listed with.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 or mps. Default: the first GPU, or the CPU without one.")
]
DeviceMapChoice = Annotated[
    DeviceMap | None, typer.Option(help="Spread a large host over several devices; excludes --device.")
]
HostChoice = Annotated[
    str | None,
    typer.Option(help="Folder or repository name of a host; without --adapter, for methods that need none."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
ListingChoice = Annotated[Listing, typer.Option(help="Whether the prompt lists the choices.")]
Picture = Annotated[
    Path | None, typer.Option(help="Also draw anchors, motion and residual into this .png, .jpg, .svg or .pdf file.")
]
QuantizationChoice = Annotated[
    Quantization | None, typer.Option(help="Pack the host's weights into 4 bits; needs a GPU.")
]
ScoringChoice = Annotated[
    Scoring | None,
    typer.Option(help="How the likelihoods of choices are compared.", show_default="as suits the host"),
]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="How many processor threads to use.")]
TimesChoice = Annotated[
    TimesName | None,
    typer.Option("--times", help="Tell the model when each anchor and interval is. Default: as trained."),
]
VideoFile = Annotated[
    str, typer.Argument(metavar="VIDEO", help="A video file.", show_default=False, callback=refuse_empty)
]


MethodChoice = Annotated[
    str,
    typer.Option(
        "--method",
        metavar=f"<{'|'.join(get_args(MethodName))}>",
        help="How the video becomes a prompt; all but himmel, anchors and rgb_diff need a host alone.",
        autocompletion=lambda: list(get_args(MethodName)),
    ),
]
Frames = Annotated[
    int | None,
    typer.Option("--frames", min=0, help="Frames to decode, for methods that show frames. Default: the method's."),
]
Keep = Annotated[
    float | None,
    typer.Option("--keep", min=0.0, max=1.0, help="Share of the pictures' tokens to keep, for methods that drop some."),
]
FurtherOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="Another option of the method. Repeat for several."),
]


def method_options(frames: int | None, keep: float | None, further: list[str] | None, **named: Any) -> dict[str, Any]:
    """Options of a method by name, without those that were not given.

    Raises:
        UsageError: an entry of `further` is not NAME=VALUE, or an option is given twice.
    """
    options = {"num_frames": frames, "keep": keep, **named}
    return read_options(further or [], {name: value for name, value in options.items() if value is not None})


def refuse_given(context: typer.Context, beside: str, *names: str) -> None:
    """Refuse options that were given although they mean nothing beside another one, or with what is asked for.

    Raises:
        UsageError: one of them was given.
    """
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} cannot be combined with {beside}; leave one of them out.")


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
