"""`himmel view`: what is in a video, drawn as a picture, a page with a scrubber or an overlay video."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from himmel._checks import check_view
from himmel._progress import working
from himmel._text import by_number
from himmel.choices import AnchorMode, Backend, Interleaving
from himmel.cli.checks import check_writable
from himmel.cli.conditions import draw_conditions
from himmel.cli.console import print_json, print_rows
from himmel.cli.options import Json, Threads, VideoFile, refuse_given, repeatable
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.video import Decomposition, Video

_STREAMS = ("anchors", "steps", "anchor_mode")


def view(
    video: VideoFile,
    context: typer.Context,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="The file to draw: .png, .jpg, .svg or .pdf for a picture; .html for a page on which one moves "
            "through the video; .mp4, .mkv or .mov for the video itself, with motion and residual over it.",
            show_default=False,
        ),
    ],
    start: Annotated[float, typer.Option(min=0.0, help="Where to begin, in seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option(min=0.0, help="Where to end, in seconds. Default: at the end.")] = None,
    anchors: Annotated[int, typer.Option(min=1, max=64, help="How many anchor frames to decode.")] = 8,
    steps: Annotated[int, typer.Option(min=1, max=128, help="How many moments to read per interval.")] = 16,
    anchor_mode: Annotated[
        AnchorMode, typer.Option(help="Anchors at keyframes (cheap), at exactly even times, or where scenes begin.")
    ] = "keyframe",
    conditions: Annotated[
        bool,
        typer.Option("--conditions", help="Draw what each condition of `himmel eval conditions` shows, in a row."),
    ] = False,
    condition: Annotated[list[str] | None, repeatable(Interleaving, "Draw this condition alone.")] = None,
    backend: Annotated[Backend, typer.Option(help="Where motion comes from; `himmel streams --help` has more.")] = (
        "auto"
    ),
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Draw what the model sees of VIDEO, or of a stretch of it: a picture, a page with a scrubber, or a video."""
    check_writable(output)
    kind = check_view(output)
    chosen = condition or (list(get_args(Interleaving)) if conditions else [])
    if chosen and kind != "picture":
        raise UsageError(f"Conditions are drawn as a picture, and {str(output)!r} is none; let its name end in .png.")
    if chosen or kind == "overlay":
        refuse_given(context, "--conditions" if chosen else f"a {output.suffix} file", *_STREAMS)
    from himmel.video import Video

    opened = Video(video)
    if output.exists() and output.samefile(opened.path):
        raise UsageError(f"{str(output)!r} is the video itself; name another file.")
    part = opened.between(start, end)
    how: dict[str, Any] = {"start": start, "end": end, "backend": backend, "threads": threads}
    streams: dict[str, Any] = {"num_anchors": anchors, "steps_per_interval": steps, "anchor_mode": anchor_mode}
    if chosen:
        with working("Reading the video"):
            told = draw_conditions(opened, chosen, output, title=opened.path.name, **how)
    elif kind == "picture":
        with working("Reading the video"):
            told = _draw_streams(opened, output, **how, **streams)
    elif kind == "page":
        told = _draw_page(opened, output, **how, **streams)
    else:
        told = _draw_overlay(opened, output, **how)
    begin = part.start - opened.start
    told = {"video": str(opened.path), "start": begin, "end": begin + part.duration, **told, "output": str(output)}
    if as_json:
        print_json(told)
    else:
        _print(told)


def _draw_streams(
    video: "Video", output: Path, *, start: float, end: float | None, backend: Backend, **options: Any
) -> dict[str, Any]:
    from himmel.video import draw_streams

    part = video.between(start, end)
    decomposition = part.decompose(backend=backend, **options)
    draw_streams(decomposition, output, begin=part.start - video.start)
    return {"drawn": f"a picture of {_intervals(decomposition)}", **_source(decomposition)}


def _draw_page(video: "Video", output: Path, **options: Any) -> dict[str, Any]:
    from himmel.video import draw_page

    page = draw_page(video, output, **options)
    drawn = f"a page of {by_number(page.moments, '{} moment', '{} moments')} in {_intervals(page.decomposition)}"
    return {"drawn": drawn, "cuts": list(page.cuts), **_source(page.decomposition)}


def _draw_overlay(video: "Video", output: Path, **options: Any) -> dict[str, Any]:
    from himmel.video import draw_overlay

    overlay = draw_overlay(video, output, **options)
    drawn = f"a video of {by_number(overlay.pictures, '{} picture', '{} pictures')}"
    if overlay.without_maps:
        drawn += f", {overlay.without_maps} of them without motion and residual, which cannot be read"
    about = {"pictures": overlay.pictures, "pictures_without_maps": overlay.without_maps}
    return {"drawn": drawn, **about, "cuts": list(overlay.cuts), "backend": overlay.backend, "notes": overlay.notes}


def _intervals(decomposition: "Decomposition") -> str:
    return by_number(len(decomposition.intervals), "{} interval", "{} intervals")


def _source(decomposition: "Decomposition") -> dict[str, Any]:
    return {"backend": decomposition.backend, "notes": list(decomposition.notes)}


def _print(told: dict[str, Any]) -> None:
    from himmel.video.draw import clock

    print_rows(
        {
            "video": f"{told['video']}, {clock(told['start'])} to {clock(told['end'])}",
            "drawn": told["drawn"],
            "cuts": ", ".join(map(clock, told.get("cuts", []))),
            "backend": told["backend"],
            "written": told["output"],
            "note": "\n".join(told["notes"]),
        }
    )
