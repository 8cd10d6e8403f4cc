"""`himmel cache`: what a cache of streams holds, and whether it is whole."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from himmel.cli.console import Column, console, print_json, print_rows, print_table
from himmel.cli.options import Json, refuse_empty
from himmel.errors import HimmelError

_MOST_SHOWN = 20

cache_app = typer.Typer(help="Look after caches of streams, which `himmel prepare` makes.", no_args_is_help=True)
Cache = Annotated[Path, typer.Argument(metavar="CACHE", help="Folder of the cache.", show_default=False)]


@cache_app.command()
def ls(
    cache: Cache,
    failed: Annotated[bool, typer.Option("--failed", help="List the videos that could not be read, and why.")] = False,
    as_json: Json = False,
) -> None:
    """What CACHE holds: videos, hours, bytes by part, and the settings it was prepared with."""
    from himmel.data.cache.listing import list_cache

    found = list_cache(cache)
    if as_json:
        print_json(asdict(found))
        return
    if failed:
        for one in found.failed:
            console.print(f"{one.name}: {one.error}", markup=False, soft_wrap=True)
        return
    rows = [(name, f"{size / 1e6:,.1f}", f"{size / found.bytes:.1%}") for name, size in found.parts.items()]
    if rows:
        print_table([Column("part", text=True, whole=True), Column("MB"), Column("share")], rows)
        console.print()
    kinds = [(kind.codec, kind.backend, f"{kind.videos:,}", f"{kind.hours:,.2f}") for kind in found.kinds]
    if kinds:
        names = Column("codec", text=True, whole=True), Column("backend", text=True, whole=True)
        print_table([*names, Column("videos"), Column("hours")], kinds)
        console.print()
    print_rows(
        {
            "settings": ", ".join(f"{name} {value}" for name, value in found.settings.items() if value is not None),
            "mark": found.mark,
            "shards": f"{found.shards:,}",
            "features": "\n".join(
                f"{one.host}: {one.videos:,} videos, {one.kind}, {one.bytes / 1e6:,.1f} MB" for one in found.features
            ),
            "unreadable": f"{len(found.failed):,} videos; --failed lists them" if found.failed else "",
            "unfinished": "a run was stopped; `himmel prepare` continues it" if found.unfinished else "",
        }
    )
    console.print(found.sentence, markup=False, soft_wrap=True)


@cache_app.command()
def verify(
    cache: Cache,
    decode: Annotated[bool, typer.Option("--decode", help="Also make each video's maps and pictures.")] = False,
    as_json: Json = False,
) -> None:
    """Compare every byte of CACHE with the sums that were written; exit code 1 if one has changed."""
    from himmel.data.cache.verify import verify_cache

    found = verify_cache(cache, decode=decode)
    if as_json:
        print_json(asdict(found))
    else:
        for one in found.damage:
            console.print(f"{one.file}: {one.said}", markup=False, soft_wrap=True)
            if one.names:
                more = len(one.names) - _MOST_SHOWN
                listed = ", ".join(one.names[:_MOST_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
                print_rows({"  videos": listed})
        state = "is whole" if not found.damage else f"is damaged in {len(found.damage):,} files"
        console.print(
            f"{cache} {state}: {found.files:,} files, {found.bytes / 1e6:,.1f} MB.", markup=False, soft_wrap=True
        )
        if any(one.file.endswith(".parquet") for one in found.damage):
            said = "Remove damaged .parquet files and run `himmel prepare` again: what was in them is made anew."
            console.print(said, markup=False, soft_wrap=True)
    if found.damage:
        raise typer.Exit(1)


@cache_app.command()
def gc(
    cache: Cache,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Also remove the videos that SOURCE does not list, see `himmel prepare`.",
            callback=refuse_empty,
        ),
    ] = None,
    column: Annotated[str, typer.Option(help="With --keep: column of annotations that names the videos.")] = "video",
    media: Annotated[
        Path | None, typer.Option(help="With --keep: folder of the videos of annotations, as they were prepared.")
    ] = None,
    every_file: Annotated[
        bool, typer.Option("--every-file", help="With --keep: list files whatever their names end in.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing; only say how much would be.")] = False,
    as_json: Json = False,
) -> None:
    """Remove from CACHE the videos whose files have other bytes now, and what killed runs have left."""
    from himmel.data.cache.collect import collect

    names = None if keep is None else _names(keep, column=column, media=media, every_file=every_file)
    found = collect(cache, keep=names, dry_run=dry_run)
    if as_json:
        print_json(asdict(found))
        return
    what = f"{found.videos:,} videos and {found.files:,} stray files"
    size = f"{found.bytes_before / 1e6:,.1f} MB before, {found.bytes_after / 1e6:,.1f} MB after"
    would = "would be removed" if dry_run else "were removed"
    console.print(f"{what} {would}: {size}.", markup=False, soft_wrap=True)


def _names(source: str, *, column: str, media: Path | None, every_file: bool) -> list[str]:
    """What a source lists.

    Raises:
        HimmelError: a folder in it cannot be listed, so that it is not known which videos are to stay.
    """
    from himmel.data.sources import list_videos

    listed = list(list_videos(source, column=column, media=media, every_file=every_file))
    for video in listed:
        if video.error is not None:
            raise HimmelError(f"{video.error.rstrip('.')}, or nothing is removed.")
    return [video.name for video in listed]
