"""Files that crash, hang or are over a limit cost their own request; the workers go on."""

import io
import multiprocessing
import os
import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from himmel.data.workers import Apart
from himmel.errors import HimmelError, VideoError
from himmel.methods.frames import FrameReading
from himmel.methods.protocol import Read
from himmel.serving.server.limits import MEBIBYTE, Limits
from himmel.serving.server.reading import Medium, Readers
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.spool import Spool
from himmel.video import Video

LIMITS = Limits(
    workers=1, read_seconds=20, read_bytes=512 * MEBIBYTE, pixels=160 * 128, duration=3, decoded_bytes=MEBIBYTE
)
READING = FrameReading(2, "keyframe")


@dataclass(frozen=True)
class Misbehaving:
    """What a file can make a reader do."""

    what: str

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        if self.what == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.what == "fill":
            np.ones(700 * MEBIBYTE, np.uint8)
        raise KeyError(video)


@pytest.fixture(scope="module")
def ended() -> list[str]:
    return []


@pytest.fixture(scope="module")
def readers(ended: list[str]) -> Iterator[Readers]:
    found = Readers(LIMITS, ended=ended.append)
    found.start()
    yield found
    found.close()


def medium(readers: Readers, *paths: Path, sha256: str | None = None, kind: str = "video", **more: float) -> Medium:
    spool = Spool(LIMITS)
    hashes = tuple(sha256 or spool.hash_of(path, 2**30).sha256 for path in paths)
    spool.close()
    return Medium(kind, hashes, paths=paths, readers=readers, **more)  # type: ignore[arg-type]


def test_a_video_is_read_as_here(readers: Readers, encode_clip: Callable[..., Path]) -> None:
    clip = encode_clip("a.mp4", num_frames=24)
    found = medium(readers, clip).read(READING)
    own = READING.read(Video(clip))
    assert [one.frame for one in found.frames] == [one.frame for one in own.frames]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(found.frames, own.frames, strict=True))
    assert found.record == own.record


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "cause", "said"),
    [("crash", "crash", "ended the process"), ("fill", "memory", "512 MB of memory"), ("bug", "", "cannot be read")],
)
def test_what_a_file_does_to_a_worker_is_its_own_request_s(
    readers: Readers, ended: list[str], encode_clip: Callable[..., Path], what: str, cause: str, said: str
) -> None:
    clip = encode_clip("a.mp4", num_frames=4)
    ended.clear()
    with pytest.raises(VideoError, match=said):
        medium(readers, clip).read(Misbehaving(what))
    assert ended == ([cause] if cause else [])
    assert medium(readers, clip).read(READING).frames


@pytest.mark.slow
def test_a_worker_that_was_killed_is_replaced(readers: Readers, encode_clip: Callable[..., Path]) -> None:
    clip = encode_clip("a.mp4", num_frames=4)
    workers = [one for one in multiprocessing.active_children() if one.is_alive()]
    assert workers
    for one in workers:
        assert one.pid is not None
        os.kill(one.pid, signal.SIGKILL)
        one.join()
    assert medium(readers, clip).read(READING).frames


@pytest.mark.parametrize(("failing", "read"), [(2, True), (3, False)])
def test_a_worker_that_is_ended_while_it_starts_is_started_again(
    readers: Readers, encode_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, failing: int, read: bool
) -> None:
    tried: list[Any] = []
    call = Apart.__call__

    def fail(apart: Apart[Any, Any], item: Any) -> Any:
        tried.append(item)
        if len(tried) <= failing:
            raise HimmelError("A process to read files with cannot be started (signal 9); free some memory.")
        return call(apart, item)

    monkeypatch.setattr(Apart, "__call__", fail)
    source = medium(readers, encode_clip("clip.mp4", num_frames=12))
    if read:
        assert len(source.read(READING).frames) == 2
    else:
        with pytest.raises(Refusal, match="cannot start a process") as refused:
            source.read(READING)
        assert (refused.value.status, refused.value.code) == (503, "no_reader")
    assert len(tried) == 3


def test_limits_hold(readers: Readers, encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    def refused(file: Path, reading: FrameReading = READING, **more: float) -> str:
        with pytest.raises(VideoError) as caught:
            medium(readers, file, **more).read(reading)
        assert str(tmp_path) not in str(caught.value)
        return str(caught.value)

    long = encode_clip("long.mp4", num_frames=100)
    assert "lasts 4 seconds and at most 3" in refused(long)
    assert medium(readers, long, start=1.0, end=2.0).read(READING).frames
    assert "no stretch of this video" in refused(long, start=9.0, end=10.0)
    assert "162 x 128 pixels" in refused(encode_clip("wide.mp4", num_frames=4, size=(162, 128)))
    assert "1,048,576 are allowed" in refused(encode_clip("short.mp4", num_frames=24), FrameReading(20, "exact"))
    (tmp_path / "poem.mp4").write_bytes(b"a poem")
    assert refused(tmp_path / "poem.mp4").startswith("The file cannot be read as a video")


def test_a_video_that_is_exchanged_meanwhile_is_not_taken_for_the_other(
    readers: Readers, encode_clip: Callable[..., Path]
) -> None:
    with pytest.raises(VideoError, match="changed while it was read"):
        medium(readers, encode_clip("a.mp4", num_frames=4), sha256=64 * "0").read(READING)


def test_pictures_are_read_as_they_are_meant(readers: Readers, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "b.png", exif=turned)
    found = medium(readers, tmp_path / "a.png", tmp_path / "b.png", kind="pictures").read(READING)
    assert np.array_equal(found.frames[0].image, pixels)
    assert np.array_equal(found.frames[1].image, np.rot90(pixels, -1))


def test_pictures_that_are_none_or_too_large_are_refused(readers: Readers, tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(b"\0" * 10_000)]
    framed = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))
    script = io.BytesIO()
    Image.new("RGB", (8, 8)).save(script, "EPS")
    (tmp_path / "a.eps").write_bytes(script.getvalue())
    for name, said in (("bomb.png", "60000 x 60000 pixels"), ("a.eps", "no picture that can be read")):
        with pytest.raises(VideoError, match=said):
            medium(readers, tmp_path / name, kind="pictures").read(READING)


def test_a_video_that_names_other_files_is_refused(
    readers: Readers, encode_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """What FFmpeg would open beside it: a playlist's segments, wherever they are, and other uploads by their names."""
    encode_clip("other.mp4", num_frames=4)
    (tmp_path / "inner").mkdir()
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n../other.mp4\n#EXT-X-ENDLIST\n"
    (tmp_path / "inner" / "list.m3u8").write_text(playlist)
    (tmp_path / "upload").write_text("ffconcat version 1.0\nfile other.mp4\n")
    assert Video(tmp_path / "upload").num_frames == 4
    for name in ("inner/list.m3u8", "upload"):
        with pytest.raises(VideoError, match=r"^The file is a list of others"):
            medium(readers, tmp_path / name).read(READING)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts", "a.mpg", "a.flv", "a.mov", "a.nut", "a.h264"])
def test_usual_containers_are_read(readers: Readers, encode_clip: Callable[..., Path], name: str) -> None:
    assert medium(readers, encode_clip(name, num_frames=12)).read(READING).frames


def test_a_picture_that_is_exchanged_meanwhile_is_not_taken_for_the_other(readers: Readers, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(VideoError, match="changed before it was read"):
        medium(readers, tmp_path / "a.png", sha256=64 * "0", kind="pictures").read(READING)


def test_pictures_that_are_too_many_together_are_refused(readers: Readers, tmp_path: Path) -> None:
    Image.new("RGB", (160, 120)).save(tmp_path / "a.png")
    with pytest.raises(VideoError, match="takes 1,094,400 bytes and 1,048,576 are allowed"):
        medium(readers, *[tmp_path / "a.png"] * 30, kind="pictures").read(READING)
