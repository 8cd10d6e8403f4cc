"""The video files of a folder and of the folders in it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from himmel._trouble import explain
from himmel.data.sources.video import SourceVideo
from himmel.errors import HimmelError
from himmel.video.file.source import show

VIDEO_SUFFIXES: Final = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".hevc", ".ivf", ".m2ts", ".m2v"),
    *(".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".rm", ".rmvb"),
    *(".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
"""Endings of files that are taken for videos, in lower case."""


def is_video(name: str) -> bool:
    """Whether a file's name ends as those of videos do."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def check_folder(folder: Path) -> None:
    """Refuse what is no folder that can be listed.

    Raises:
        HimmelError: there is none, it is a file, or access is refused.
    """
    try:
        is_folder = folder.is_dir()
        if is_folder:
            with os.scandir(folder) as entries:
                next(entries, None)
            return
        is_file = folder.exists()
    except OSError as error:
        raise HimmelError(
            explain(error, place=folder) or f"{show(folder)} cannot be listed ({error.strerror})."
        ) from error
    except ValueError as error:
        raise HimmelError(f"{show(folder)} cannot be the name of a folder ({error}); check the path.") from error
    if is_file:
        raise HimmelError(f"{show(folder)} is a file; name the folder that holds it.")
    raise HimmelError(f"There is no folder {show(folder)}; check the path.")


def list_files(folder: Path, *, every_file: bool) -> Iterator[SourceVideo]:
    """The files of a folder and of the folders in it, sorted folder by folder, and those folders that are closed.

    Names are relative to the folder. Links to folders are not followed, and what has a name that begins with a dot is
    left out.

    Args:
        every_file: take files with any ending; otherwise those with one of `VIDEO_SUFFIXES`.
    """
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (every_file or is_video(name)):
                path = Path(place, name)
                yield local_file(path, path.relative_to(folder).as_posix())
    for error in closed:
        path = Path(os.fsdecode(error.filename or folder))
        reason = (error.strerror or "unknown error").lower()
        said = f"{show(path)} cannot be listed ({reason}); change its permissions."
        yield SourceVideo(path.relative_to(folder).as_posix(), str(path), 0, 0, said)


def local_file(path: Path, name: str) -> SourceVideo:
    """A file on this machine; one that isn't there is told of by whoever opens it."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return SourceVideo(name, os.path.abspath(path), 0, 0)
    return SourceVideo(name, os.path.abspath(path), status.st_size, status.st_mtime_ns)


def nothing_found(place: str, *, every_file: bool) -> HimmelError:
    """What is said of a place without any video."""
    what = "files" if every_file else f"files that end in {', '.join(VIDEO_SUFFIXES)}"
    more = "name another folder" if every_file else "name another folder, or take every file (--every-file)"
    return HimmelError(f"{show(place)} holds no {what}; {more}.")
