"""Folders and names that a file system seldom has."""

import os
from pathlib import Path

import pytest

NO_UNICODE = b"\xff\xfe.mp4"


def close_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a folder that nobody may list, this user and root included."""
    folder.mkdir()
    scandir = os.scandir

    def refuse(place: str | os.PathLike[str]) -> object:
        if Path(place).name == folder.name:
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)


def name_without_unicode(file: Path) -> None:
    """Call a file by `NO_UNICODE`, in its folder; the test is skipped where there are no such names."""
    try:
        os.rename(file, os.path.join(os.fsencode(file.parent), NO_UNICODE))
    except OSError:
        pytest.skip("names must be Unicode here")
