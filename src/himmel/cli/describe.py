"""`himmel describe`: what moves in a video, and when, in words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from himmel._progress import working
from himmel._text import list_seconds
from himmel.choices import Backend, Cell
from himmel.cli.checks import check_picture
from himmel.cli.console import console, print_json, print_rows
from himmel.cli.options import Json, Threads, VideoFile

if TYPE_CHECKING:
    from himmel.video import Timeline


def describe(
    video: VideoFile,
    words: Annotated[
        int | None,
        typer.Option(min=1, help="Most words in the text; what matters least is left out. Default: no limit."),
    ] = None,
    per_second: Annotated[
        float, typer.Option(min=0.01, max=1000, help="How many pictures to read for each second of the video.")
    ] = 8.0,
    max_pictures: Annotated[
        int, typer.Option(min=1, max=100_000, help="The most pictures to read; longer videos are read more sparsely.")
    ] = 4800,
    backend: Annotated[Backend, typer.Option(help="Where motion comes from; `himmel streams --help` has more.")] = (
        "auto"
    ),
    cell: Annotated[
        Cell | None, typer.Option(help="Side of a map's cell in pixels. Default: by the size of the video.")
    ] = None,
    threads: Threads = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the time line into this .png, .jpg, .svg or .pdf file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what the camera does and what moves in VIDEO, and when. Needs no model, and decodes no picture of H.264."""
    check_picture(picture)
    from himmel.video import Video, draw_timeline

    with working("Reading the video"):
        timeline = Video(video).describe(
            pictures_per_second=per_second, max_pictures=max_pictures, cell=cell, backend=backend, threads=threads
        )
        text = timeline.text(budget=words)
        if picture is not None:
            draw_timeline(timeline, picture)
    if as_json:
        print_json(summarise(timeline, text=text, picture=picture))
        return
    console.print(escape(text), soft_wrap=True)
    print_rows(
        {
            "video": f"{timeline.path}: {timeline.codec}, {timeline.width} x {timeline.height}, "
            f"{timeline.duration:.2f} s, {timeline.num_frames} pictures",
            "backend": f"{timeline.backend} ({timeline.backend_reason}); {timeline.num_read} pictures read",
            "seconds": list_seconds(timeline.seconds),
            "written": "" if picture is None else str(picture),
            "note": "\n".join(timeline.notes),
        }
    )


def summarise(timeline: "Timeline", *, text: str, picture: Path | None) -> dict[str, Any]:
    """What `himmel describe` says, ready for JSON."""
    return {**timeline.to_dict(), "text": text, "picture": None if picture is None else str(picture)}
