"""Files and folders that appear whole or not at all."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from himmel._files import atomic_folder, atomic_path


@pytest.fixture
def mask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files of this process are for its user's group too; and whoever changes that, even for a moment, fails."""
    before = os.umask(0o027)

    def refuse(mask: int) -> int:
        raise AssertionError("threads share it")

    with monkeypatch.context() as patched:
        patched.setattr(os, "umask", refuse)
        yield
    os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="files have other rights")
@pytest.mark.usefixtures("mask")
def test_files_have_the_rights_of_ordinary_ones(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as temporary:
        # As some writers do.
        temporary.unlink()
        temporary.touch(0o600)
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "b.txt").touch(0o600)
    found = [path.stat().st_mode for path in (tmp_path / "a.txt", tmp_path / "folder", tmp_path / "folder" / "b.txt")]
    assert [stat.S_IMODE(mode) for mode in found] == [0o640, 0o750, 0o640]


def stop(path: Path) -> None:
    (path / "part" if path.is_dir() else path).write_text("new")
    raise KeyboardInterrupt


def test_what_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as temporary:
        stop(temporary)
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "b") as folder:
        stop(folder)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]
