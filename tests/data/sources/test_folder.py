from pathlib import Path

import pytest

from himmel.data.sources.folder import check_folder, list_files
from himmel.errors import HimmelError


def test_files_are_listed_in_the_same_order_everywhere(tmp_path: Path) -> None:
    for name in ("b/z.mp4", "b/a.mp4", "a/c.mkv", "z.mp4", "y.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = [file.name for file in list_files(tmp_path, every_file=False)]
    assert listed == ["y.mp4", "z.mp4", "a/c.mkv", "b/a.mp4", "b/z.mp4"]


def test_missing_folders_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    for place, said in (("nowhere", "There is no folder"), ("a.mp4", "is a file"), ("x" * 5000, "cannot be")):
        with pytest.raises(HimmelError, match=said):
            check_folder(tmp_path / place)
