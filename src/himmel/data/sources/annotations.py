"""The videos that annotation files name: JSON lines, JSON, Parquet, Arrow, LLaVA-Video-178K's YAML of such files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from himmel.data.samples.files import SUFFIXES, read_rows
from himmel.data.samples.sets import SetSpec, annotation_files
from himmel.data.sources.folder import local_file
from himmel.data.sources.remote import is_address, local_path
from himmel.data.sources.video import SourceVideo
from himmel.errors import HimmelError
from himmel.video.file.source import show

ANNOTATIONS: Final = (*SUFFIXES, ".yaml", ".yml")
"""Endings of annotation files."""


def list_annotated(source: str, *, column: str, media: Path | None) -> Iterator[SourceVideo]:
    """The videos in the rows of annotation files, each once, in the order in which they are first named.

    All rows count, whatever the sampling strategies of a YAML file are, so that each of them finds its videos.

    Args:
        source: a file, a pattern, or a YAML file of these.
        column: of the videos' paths or addresses: a text, {"path": ...}, or a list of these.
        media: where relative paths begin; None: at each annotation file.

    Raises:
        HimmelError: a file can't be read, or none of its rows names a video.
    """
    places: dict[str, str] = {}
    for file, _ in annotation_files(SetSpec(Path(source))):
        folder = file.parent if media is None else media
        count = 0
        for _, row in read_rows(file):
            for value in _paths(row.get(column)):
                count += 1
                path = local_path(value)
                place = path if is_address(path) else os.path.abspath(folder / path)
                # The same name in two folders is two videos; the second is called by its whole path.
                name = value if places.get(value, place) == place else place
                if name not in places:
                    places[name] = place
                    yield SourceVideo(name, place, 0, 0) if is_address(place) else local_file(Path(place), name)
        if not count:
            raise HimmelError(
                f"No row of {show(file)} names a video in the column {column!r}; name another one (--column)."
            )


def _paths(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        path = one.get("path") if isinstance(one, dict) else one
        if isinstance(path, str) and path:
            yield path
