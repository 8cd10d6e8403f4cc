"""Where videos and pictures come from: a cache of a corpus that has moved, and files that no reader likes."""

import io
import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.cache.shards import hash_file
from himmel.data.prepare import prepare
from himmel.data.samples import Medium
from himmel.data.samples.extract import UnreadableError
from himmel.model.reading import Reading
from himmel.training.corpus.reading import FromCache, read_picture, read_words
from tiny_hosts import qwen_config

SETTINGS = CacheSettings(num_anchors=2, steps_per_interval=2)


def _reader(cache: Path, folder: Path, *, last: bool = False) -> FromCache:
    config = qwen_config("host", num_anchors=2, steps_per_interval=2)
    return FromCache(StreamCache(cache), Reading.of(config), folder=folder, last=last)


def test_videos_of_a_corpus_that_was_moved_are_found_by_their_names(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To hash each video whenever it is drawn would read the whole corpus in each pass."""
    prepare(str(corpus), tmp_path / "cache", settings=SETTINGS)
    moved = tmp_path / "moved"
    shutil.move(corpus, moved)
    (moved / "0.mp4").rename(moved / "renamed.mp4")
    hashed: list[str] = []

    def note(path: Path) -> str:
        hashed.append(path.name)
        return hash_file(path)

    monkeypatch.setattr("himmel.data.cache.store.hash_file", note)
    reader = _reader(tmp_path / "cache", moved)
    for name in ("1.mp4", "renamed.mp4", "renamed.mp4"):
        found = reader.read(Medium("video", str(moved / name)))
        assert len(found.decomposition.anchors) == 2
    assert hashed == ["renamed.mp4"]


def test_the_last_picture_is_read_where_it_is_asked_for(corpus: Path, tmp_path: Path) -> None:
    prepare(str(corpus), tmp_path / "cache", settings=SETTINGS)
    medium = Medium("video", str(corpus / "0.mp4"))
    assert _reader(tmp_path / "cache", corpus).read(medium).last is None
    last = _reader(tmp_path / "cache", corpus, last=True).read(medium).last
    assert last is not None
    assert last.shape == (64, 96, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="it takes a file that is there and can't be read")
def test_a_file_that_cannot_be_hashed_is_refused(corpus: Path, tmp_path: Path) -> None:
    prepare(str(corpus), tmp_path / "cache", settings=SETTINGS)
    (corpus / "odd.mp4").symlink_to("/proc/self/mem")
    with pytest.raises(UnreadableError, match="error"):
        _reader(tmp_path / "cache", corpus).read(Medium("video", str(corpus / "odd.mp4")))


def test_a_picture_that_pillow_does_not_know_how_to_read_is_unreadable(tmp_path: Path) -> None:
    """Pillow raises NotImplementedError about this one, which is no kind of OSError or ValueError."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "DDS")
    damaged = bytearray(buffer.getvalue())
    # The flags of its pixel format.
    damaged[80:84] = bytes(4)
    (tmp_path / "a.png").write_bytes(damaged)
    with pytest.raises(UnreadableError, match="pixel format") as caught:
        read_picture(Medium("image", str(tmp_path / "a.png")))
    assert caught.value.cause == "picture"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes with names")
@pytest.mark.timeout(20)
def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "a.srt")
    with pytest.raises(UnreadableError, match="no such file"):
        read_picture(Medium("image", str(tmp_path / "a.png")))
    with pytest.raises(UnreadableError, match="no such file"):
        read_words(str(tmp_path / "a.srt"), Medium("video", "v.mp4"))
