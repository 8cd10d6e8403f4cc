"""What a video may come from, and one true sentence for what it can't."""

import gc
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel.errors import UsageError, VideoError
from himmel.video import Decomposition, Video

Encode = Callable[..., Path]


class Pipe:
    """A file object that can only be read, piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        """At most 1000 bytes."""
        return self._inner.read(min(size, 1000))


def same(one: Decomposition, other: Decomposition) -> bool:
    """Whether anchors and vectors are the same."""
    return all(
        np.array_equal(a.image, b.image) and np.array_equal(i.maps.past, j.maps.past)
        for a, b, i, j in zip(one.anchors, other.anchors, one.intervals, other.intervals, strict=True)
    )


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, Pipe])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_bytes_and_file_objects(kind: type, name: str, encode_clip: Encode) -> None:
    path = encode_clip(name, num_frames=40, options={"g": "10"})
    video = Video(kind(path.read_bytes()))
    assert same(video.decompose(num_anchors=4), Video(path).decompose(num_anchors=4))
    assert video.sha256 == Video(path).sha256


def test_open_files_wherever_they_were_read_to(encode_clip: Encode) -> None:
    path = encode_clip("a.mp4")
    with path.open("rb") as file:
        file.read(5000)
        assert Video(file).num_frames == 40
    with tempfile.TemporaryFile() as file:
        file.write(path.read_bytes())
        assert Video(file).num_frames == 40


def test_the_copy_goes_with_the_video(encode_clip: Encode) -> None:
    video = Video(encode_clip("a.mp4").read_bytes())
    copy = video.path
    assert copy.exists()
    del video
    gc.collect()
    assert not copy.parent.exists()


def test_a_copy_that_cannot_be_read_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(VideoError) as caught:
        Video(b"Call me Ishmael. " * 100)
    assert str(caught.value).startswith("<bytes> cannot be read as a video")
    del caught
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_no_room_for_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    class Full(io.BytesIO):
        read = full

    with pytest.raises(VideoError, match=r"^The bytes of <Full> cannot be copied .*no space left.*TMPDIR\.$"):
        Video(Full(b"x"))


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (5, "<int> is not a video; give a path, the bytes of a file, or a file opened for reading."),
        (None, "<NoneType> is not a video; give a path, the bytes of a file, or a file opened for reading."),
        (io.StringIO("text"), "<StringIO> gives text, not bytes; open the video with mode 'rb'."),
    ],
)
def test_what_no_video_comes_from(source: object, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        Video(source)  # type: ignore[arg-type]
    assert str(caught.value) == sentence


def test_a_closed_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        pass
    with pytest.raises(UsageError, match=r"closed file.*open the video again\.$"):
        Video(file)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("address", ["https://host.example/a.mp4?b=c", "rtsp://camera/1", "s3://bucket/a.mp4"])
def test_addresses_are_not_read(kind: type, address: str) -> None:
    """A path has one of two slashes left."""
    with pytest.raises(VideoError) as caught:
        Video(kind(address))
    assert str(caught.value) == (
        f"'{address}' is an address, but himmel only reads files; download the video and name the file."
    )


def test_a_file_that_is_called_like_an_address(
    tmp_path: Path, encode_clip: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "http:").mkdir()
    encode_clip("http:/a.mp4")
    monkeypatch.chdir(tmp_path)
    assert Video("http:/a.mp4").num_frames == 40


@pytest.mark.parametrize("path", ["x" * 5000, "/".join(["x" * 200] * 25), "/tmp/" + "x" * 300])
def test_paths_that_are_too_long(path: str) -> None:
    with pytest.raises(VideoError) as caught:
        Video(path)
    assert str(caught.value).endswith(f"is too long for a path ({len(path)} characters); check the path.")
    assert len(str(caught.value)) < 220


def test_a_null_byte() -> None:
    with pytest.raises(VideoError, match="cannot be the name of a file"):
        Video("a\0b.mp4")


def test_a_file_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(VideoError, match="There is no file"):
        Video(tmp_path / "a" / "b.mp4")
