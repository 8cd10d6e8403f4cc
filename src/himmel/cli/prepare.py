"""`himmel prepare`: the streams of a corpus, read once for training."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from himmel.choices import AnchorMode, Backend, MapPrecision, PictureFormat
from himmel.cli.console import Column, console, print_json, print_rows, print_table
from himmel.cli.options import Json, refuse_empty

if TYPE_CHECKING:
    from himmel.data.prepare_summary import PrepareSummary

_MOST_SHOWN = 20


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a pattern, annotations (.jsonl, .json, .parquet, .yaml), .tar archives, or an address.",
            show_default=False,
            callback=refuse_empty,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder of the cache. One that is there is continued.", show_default=False),
    ],
    anchors: Annotated[int, typer.Option(min=1, max=4096, help="Anchors of a video.")] = 8,
    steps: Annotated[int, typer.Option(min=1, max=4096, help="Steps of an interval.")] = 16,
    anchor_mode: Annotated[AnchorMode, typer.Option(help="How anchors are placed.")] = "keyframe",
    backend: Annotated[Backend, typer.Option(help="Where motion and residual come from.")] = "auto",
    cell: Annotated[
        int | None,
        typer.Option(metavar="<4|8|16|32|64>", help="Side of a map's cell in pixels. Default: by the video's size."),
    ] = None,
    accumulate: Annotated[
        bool, typer.Option("--accumulate", help="Follow motion and residual back to the start of each interval.")
    ] = False,
    rgb_difference: Annotated[
        bool, typer.Option("--rgb-difference", help="Also keep each step's colour difference; this decodes the video.")
    ] = False,
    sound: Annotated[
        bool, typer.Option("--sound", help="Also keep the sizes and the loudness of the sound's packets.")
    ] = False,
    last_picture: Annotated[
        bool,
        typer.Option(
            "--last-picture/--no-last-picture",
            help="Also keep the last picture, which stage 1 of training needs.",
        ),
    ] = True,
    anchor_pixels: Annotated[
        int | None, typer.Option(min=1, help="Shrink anchors to at most so many pixels. Default: as they are.")
    ] = None,
    maps: Annotated[MapPrecision, typer.Option(help="How maps are kept.")] = "int8",
    pictures: Annotated[PictureFormat, typer.Option(help="How anchors are kept.")] = "jpeg",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG.")] = 95,
    shard_videos: Annotated[int, typer.Option(min=1, max=100_000, help="Videos in a file of the cache.")] = 64,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="How many videos to read at once. Default: one for each processor core."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Have a Ray cluster read the videos: auto, HOST:PORT, ray://HOST:PORT, or local to start one here.",
            callback=refuse_empty,
        ),
    ] = None,
    time_limit: Annotated[float, typer.Option(min=1, max=86400, help="Seconds that a video may take.")] = 120,
    memory_limit: Annotated[
        int, typer.Option(min=16, max=2**20, help="Memory that a video may take, in MB; kept on Linux only.")
    ] = 2048,
    column: Annotated[str, typer.Option(help="Column of annotations that names the videos.")] = "video",
    media: Annotated[
        Path | None, typer.Option(help="Folder of the videos of annotations. Default: where the annotations are.")
    ] = None,
    every_file: Annotated[
        bool, typer.Option("--every-file", help="Read files whatever their names end in, not only videos.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Read those again that could not be read.")] = False,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Also keep what this host's frozen vision part sees in the anchors, so that stage 1 runs it no more.",
            callback=refuse_empty,
        ),
    ] = None,
    anchor_tokens: Annotated[
        int, typer.Option(min=1, help="With --features: most image tokens of an anchor, as in the recipe.")
    ] = 256,
    as_json: Json = False,
) -> None:
    """Read the streams of all videos of SOURCE into a cache for training; a run that was stopped is continued."""
    from himmel.data.cache.settings import CacheSettings
    from himmel.data.prepare import prepare as prepare_videos
    from himmel.data.workers import MEGABYTE, Limits

    if features is not None:
        from himmel.hosts import load_host

        # A wrong name is told now, and not when all videos are read.
        load_host(features, max_anchor_tokens=anchor_tokens)
    settings = CacheSettings(
        num_anchors=anchors,
        anchor_mode=anchor_mode,
        steps_per_interval=steps,
        cell=cell,  # type: ignore[arg-type]  # checked there
        backend=backend,
        max_anchor_pixels=anchor_pixels,
        accumulate=accumulate,
        rgb_difference=rgb_difference,
        sound=sound,
        last_picture=last_picture,
        maps=maps,
        pictures=pictures,
        quality=quality,
    )
    found = prepare_videos(
        source,
        output,
        settings=settings,
        shard_videos=shard_videos,
        workers=workers or (os.cpu_count() if ray is None else None),
        ray=ray,
        limits=Limits(seconds=time_limit, memory=memory_limit * MEGABYTE),
        column=column,
        media=media,
        every_file=every_file,
        retry=retry,
    )
    seen = None
    if features is not None:
        from himmel.data.features import add_features

        seen = add_features(output, host=features, max_anchor_tokens=anchor_tokens)
    if as_json:
        print_json({"sentence": found.sentence, **asdict(found), "features": None if seen is None else asdict(seen)})
    else:
        print_prepared(found)
        if seen is not None:
            console.print(seen.sentence, markup=False, soft_wrap=True)
    if found.failed:
        raise typer.Exit(1)


def print_prepared(found: "PrepareSummary") -> None:
    """Print a table of codecs and backends, the videos that can't be read, and a sentence about all."""
    if found.kinds:
        columns = Column("codec", text=True, whole=True), Column("backend", text=True, whole=True)
        rows = [(kind.codec, kind.backend, f"{kind.videos:,}", f"{kind.hours:,.2f}") for kind in found.kinds]
        print_table([*columns, Column("videos"), Column("hours")], rows)
        console.print()
    more = len(found.failed) - _MOST_SHOWN
    print_rows(
        {
            "read now": f"{found.read:,} of {found.videos:,} videos" if found.read < found.videos else "",
            "unreadable": "\n".join(one.error for one in found.failed[:_MOST_SHOWN]),
            "and more": f"{more:,} unreadable videos; `himmel cache ls {found.cache} --failed` lists them all"
            if more > 0
            else "",
        }
    )
    console.print(found.sentence, markup=False, soft_wrap=True)
