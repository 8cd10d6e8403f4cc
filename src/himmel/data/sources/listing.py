"""From what a user names to videos."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from himmel.data.sources.annotations import ANNOTATIONS, list_annotated
from himmel.data.sources.archives import list_archive
from himmel.data.sources.folder import check_folder, is_video, list_files, local_file, nothing_found
from himmel.data.sources.remote import is_address, list_addresses, local_path
from himmel.data.sources.video import SourceVideo
from himmel.errors import HimmelError, UsageError
from himmel.video.file.source import show

_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_SIGNS: Final = re.compile(r"[*?[{]")
_MOST_ARCHIVES: Final = 1_000_000


def list_videos(
    source: str, *, column: str = "video", media: Path | None = None, every_file: bool = False
) -> Iterator[SourceVideo]:
    """The videos of a source, each once, always in the same order.

    Args:
        source: a folder; a pattern such as `videos/*/*.mp4`; annotations (.jsonl, .json, .parquet, .arrow, or a .yaml
            that lists such files), for which see `list_annotated`; WebDataset's archives (`shard-{0000..0999}.tar`, or
            a pattern); or an address of a folder, a pattern or archives that fsspec reaches.
        column: of annotations, in which videos are named.
        media: where relative paths in annotations begin; None: at each annotation file.
        every_file: take files of a folder or an archive with any ending.

    Raises:
        HimmelError: there is no such source, or it can't be read, or holds no videos, or two of the same name.
        UsageError: annotations are not on this machine.
    """
    path = local_path(source)
    suffix = Path(path).suffix.lower()
    if suffix in ANNOTATIONS:
        if is_address(path):
            raise UsageError(f"{show(path)} is not on this machine; download the annotations and name the file.")
        found = list_annotated(path, column=column, media=media)
    elif suffix == ".tar":
        found = _list_archives(path, every_file=every_file)
    elif is_address(path):
        found = _list_remote(path, every_file=every_file)
    elif _is_pattern(path):
        found = _list_pattern(path, every_file=every_file)
    else:
        check_folder(Path(path))
        found = list_files(Path(path), every_file=every_file)
    names: set[str] = set()
    for video in found:
        if video.name in names:
            raise HimmelError(f"{show(source)} has two videos named {show(video.name)}; name them one after the other.")
        names.add(video.name)
        yield video
    if not names:
        raise nothing_found(source, every_file=every_file)


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in "*?[") and not Path(path).exists()


def _fitting(pattern: str) -> Iterator[tuple[Path, str]]:
    """What a pattern fits, and its names, which begin after the last folder without a wildcard; without hidden ones."""
    fixed = Path(pattern)
    while _is_pattern(str(fixed)):
        fixed = fixed.parent
    for path in sorted(set(fixed.glob(Path(pattern).relative_to(fixed).as_posix()))):
        name = path.relative_to(fixed)
        if not any(part.startswith(".") for part in name.parts):
            yield path, name.as_posix()


def _list_pattern(pattern: str, *, every_file: bool) -> Iterator[SourceVideo]:
    for path, name in _fitting(pattern):
        if path.is_file() and (every_file or is_video(name)):
            yield local_file(path, name)


def _list_remote(address: str, *, every_file: bool) -> Iterator[SourceVideo]:
    for file in list_addresses(address):
        hidden = any(part.startswith(".") for part in file.name.split("/"))
        if not hidden and (every_file or is_video(file.name)):
            yield SourceVideo(file.name, file.address, file.bytes, file.modified)


def _list_archives(pattern: str, *, every_file: bool) -> Iterator[SourceVideo]:
    """Videos of archives, whose own names begin after the last folder without a wildcard or a range of numbers."""
    root = _plain_folder(pattern)
    for place in _numbered(pattern):
        archives = list(_archives(place))
        if not archives:
            raise HimmelError(f"There is no archive {show(place)}; check the path.")
        folder = _plain_folder(place).removeprefix(root).strip("/")
        for address, name, modified in archives:
            yield from list_archive(
                address, f"{folder}/{name}" if folder else name, modified=modified, every_file=every_file
            )


def _archives(place: str) -> Iterator[tuple[str, str, int]]:
    """Place, name and time of change of each archive that a path, an address or a pattern stands for."""
    if is_address(place):
        for remote in list_addresses(place):
            yield remote.address, remote.name, remote.modified
        return
    for path, name in _fitting(place) if _is_pattern(place) else [(Path(place), Path(place).name)]:
        here = local_file(path, name)
        yield here.place, here.name, here.modified


def _plain_folder(pattern: str) -> str:
    return _SIGNS.split(pattern, maxsplit=1)[0].rpartition("/")[0]


def _numbered(pattern: str) -> Iterator[str]:
    """`a-{008..010}.tar` as `a-008.tar`, `a-009.tar` and `a-010.tar`.

    Raises:
        UsageError: it stands for more archives than anybody has.
    """
    match = _RANGE.search(pattern)
    if match is None:
        yield pattern
        return
    first, last = match.groups()
    if int(last) - int(first) >= _MOST_ARCHIVES:
        raise UsageError(f"{show(pattern)} stands for more than {_MOST_ARCHIVES:,} archives; name fewer.")
    for number in range(int(first), int(last) + 1):
        yield from _numbered(f"{pattern[: match.start()]}{number:0{len(first)}d}{pattern[match.end() :]}")
