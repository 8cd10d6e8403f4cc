import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import VideoError
from himmel.video import Video
from himmel.video.file.hash import FileHash


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


@pytest.mark.parametrize("ahead", [False, True])
def test_it_is_the_hash_of_the_bytes(path: Path, ahead: bool) -> None:
    found = FileHash(path)
    assert found.known is None
    if ahead:
        found.start()
    assert found.value() == hashlib.sha256(path.read_bytes()).hexdigest() == found.known
    assert found.seconds > 0


def test_it_is_made_once(path: Path) -> None:
    found = FileHash(path)
    first = found.value()
    path.write_bytes(b"")
    assert found.value() == first


def test_a_file_that_is_gone_is_told_to_who_asks(path: Path) -> None:
    path.unlink()
    found = FileHash(path)
    found.start()
    with pytest.raises(FileNotFoundError):
        found.value()
    assert found.known is None


def test_a_video_that_is_gone_is_a_video_that_cannot_be_read(encode_clip: Callable[..., Path]) -> None:
    video = Video(encode_clip("a.mp4", num_frames=8))
    video.path.unlink()
    with pytest.raises(VideoError, match=r"a\.mp4' cannot be read to its end \(no such file or directory\)"):
        _ = video.sha256
