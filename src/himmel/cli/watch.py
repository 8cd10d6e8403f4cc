"""`himmel watch`: what happens in a live video, a line an event; each line that is typed is a question about it."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from himmel._checks import check_choice
from himmel.choices import DeviceMap, LiveClock, MethodName, Quantization
from himmel.cli.live_lines import LinePrinter
from himmel.cli.live_questions import Questions
from himmel.cli.options import (
    Adapter,
    Device,
    DeviceMapChoice,
    Frames,
    FurtherOptions,
    HostChoice,
    Keep,
    MethodChoice,
    QuantizationChoice,
    Threads,
    method_options,
    refuse_empty,
)
from himmel.errors import HimmelError, UsageError


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
    ffmpeg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An option of FFmpeg's protocol or format. Repeat for several."),
    ] = None,
    method: MethodChoice = "himmel",
    host: HostChoice = None,
    adapter: Adapter = None,
    frames: Frames = None,
    keep: Keep = None,
    option: FurtherOptions = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Most tokens in an answer.")] = 64,
    threads: Threads = None,
    device: Device = None,
    device_map: DeviceMapChoice = None,
    quantization: QuantizationChoice = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else, an object a line.")] = False,
) -> None:
    """Follow SOURCE while it runs, and tell what moves and when it cuts. Ctrl-C ends it.

    Each line that is typed is a question about the last minutes: "What moves?", or with answers to choose from "Which
    way? | left | right". The model is loaded at the first one.
    """
    check_choice("method", method, get_args(MethodName))
    asking = {
        "method": method,
        "max_new_tokens": max_new_tokens,
        "threads": threads,
        **method_options(frames, keep, option),
    }
    options = _read_pairs(ffmpeg or [])
    loading = _loading(adapter, host, device, device_map, quantization)
    from himmel.video import LiveVideo

    with LiveVideo(source, minutes=minutes, megabytes=megabytes, patience=patience, options=options) as live:
        printer = LinePrinter(as_json=as_json, clock=clock or ("wall" if live.is_remote else "stream"))
        questions = Questions(live, printer, loading=loading, asking=asking)
        questions.start()
        try:
            for event in live.events(motion=events, pictures_per_second=per_second):
                printer.event(event)
        except HimmelError:
            questions.finish()
            raise
        questions.finish()


def _loading(
    adapter: Path | None,
    host: str | None,
    device: str | None,
    device_map: DeviceMap | None,
    quantization: Quantization | None,
) -> dict[str, object]:
    return {
        "adapter": adapter,
        "host": host,
        "device": device,
        "device_map": device_map,
        "quantization": quantization,
    }


def _read_pairs(entries: list[str]) -> dict[str, str]:
    """FFmpeg's options by name, their values as they were typed.

    Raises:
        UsageError: an entry is not NAME=VALUE, or an option is given twice.
    """
    options: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise UsageError(f"--ffmpeg {entry!r} is not of the form NAME=VALUE; write for example rtsp_transport=udp.")
        if name in options:
            raise UsageError(f"FFmpeg's option {name!r} is given twice; give it once.")
        options[name] = value
    return options
