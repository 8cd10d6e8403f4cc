"""`himmel watch`: what happens in a live video, a line an event."""

import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from himmel._options import read_options
from himmel.choices import LiveClock
from himmel.cli.console import console
from himmel.cli.options import refuse_empty

if TYPE_CHECKING:
    from himmel.video import LiveEvent


def watch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A file that may still grow, a playlist (HLS), or an address: http://, https://, rtsp://, rtmp://, "
            "tcp:// or udp://.",
            show_default=False,
            callback=refuse_empty,
        ),
    ],
    minutes: Annotated[
        float, typer.Option(min=0.05, max=1440, help="How much of the stream to keep, back from now.")
    ] = 5.0,
    megabytes: Annotated[
        int, typer.Option(min=1, max=2**20, help="Most memory to keep it in; the window is shorter if need be.")
    ] = 256,
    patience: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=86400,
            help="Seconds without a picture after which a file has ended, and a lost connection is given up.",
        ),
    ] = 60.0,
    events: Annotated[bool, typer.Option("--events/--no-events", help="Tell what moves, and cuts.")] = True,
    per_second: Annotated[
        float, typer.Option(min=0.01, max=1000, help="How many pictures to read for events, of each second.")
    ] = 8.0,
    clock: Annotated[
        LiveClock | None,
        typer.Option(help="Tell times since the first picture, or of day. Default: of day for addresses."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of FFmpeg's protocol or format. Repeat for several."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else, an object a line.")] = False,
) -> None:
    """Follow SOURCE while it runs, and tell what moves and when it cuts. Ctrl-C ends it."""
    options = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in read_options(option or [], {}).items()
    }
    from himmel.video import LiveVideo

    with LiveVideo(source, minutes=minutes, megabytes=megabytes, patience=patience, options=options) as live:
        printer = _Printer(as_json=as_json, clock=clock or ("wall" if live.is_remote else "stream"))
        for event in live.events(motion=events, pictures_per_second=per_second):
            printer.event(event)


def _ffmpeg_options(entries: list[str]) -> dict[str, str]:
    """Options by name, their values as they were typed.

    Raises:
        UsageError: an entry is not NAME=VALUE, or an option is given twice.
    """
    read_options(entries, {})
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


class _Printer:
    """Prints lines as soon as there are any: for people, notices about the stream itself on stderr."""

    def __init__(self, *, as_json: bool, clock: LiveClock) -> None:
        self._as_json, self._clock = as_json, clock
        self._notices = Console(stderr=True, highlight=False)

    def event(self, event: "LiveEvent") -> None:
        if self._as_json:
            self._write(event.to_dict())
            return
        line = f"[dim]{escape(self._when(event))}[/dim]  {escape(event.words)}"
        where = self._notices if event.kind == "notice" else console
        where.print(line, soft_wrap=True)
        where.file.flush()

    def _write(self, content: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(content, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def _when(self, event: "LiveEvent") -> str:
        if self._clock == "wall":
            begin, end = (f"{time:%H:%M:%S}" for time in (event.wall_start, event.wall_end))
        else:
            begin, end = (_clock_time(seconds) for seconds in (event.start, event.end))
        return begin if begin == end else f"{begin}-{end}"


def _clock_time(seconds: float) -> str:
    """Hours, minutes and seconds to a tenth."""
    whole, tenths = divmod(round(10 * seconds), 10)
    return f"{timedelta(seconds=whole)}.{tenths}"
