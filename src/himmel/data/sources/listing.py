"""From what a user names to videos."""

from collections.abc import Iterator
from pathlib import Path

from himmel.data.sources.folder import check_folder, list_files
from himmel.data.sources.video import SourceVideo


def list_videos(source: str, *, every_file: bool = False) -> Iterator[SourceVideo]:
    """The videos of a source, each once, always in the same order.

    Args:
        source: a folder.
        every_file: take files of a folder with any ending.

    Raises:
        HimmelError: there is no such source.
    """
    folder = Path(source)
    check_folder(folder)
    yield from list_files(folder, every_file=every_file)
