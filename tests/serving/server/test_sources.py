"""Files that a request may name, and the spool that keeps uploads."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from himmel.serving.server.fetch import Fetcher
from himmel.serving.server.limits import Limits
from himmel.serving.server.messages import Source
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.reading import Medium, Readers
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.sources import Sources
from himmel.serving.server.spool import Spool, Stored

LIMITS = Limits(source_bytes=100, spool_bytes=250, workers=1)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = Spool(LIMITS, tmp_path / "spool")
    yield found
    found.close()
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of media with a link out of it, a pipe and a folder, beside a secret."""
    media = tmp_path / "media"
    media.mkdir()
    (media / "a b.mp4").write_bytes(b"film")
    (media / "large.mp4").write_bytes(b"x" * 101)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "media2").mkdir()
    (tmp_path / "media2" / "c.mp4").write_bytes(b"other")
    (media / "out").symlink_to(tmp_path / "secret")
    (media / "round").symlink_to(media / "round")
    (media / "folder").mkdir()
    os.mkfifo(media / "pipe")
    return media


def bring(spool: Spool, folder: Path, url: str) -> Stored:
    sources = Sources(
        spool=spool,
        fetcher=Fetcher(frozenset(), (), LIMITS),
        folders=[folder],
        readers=Readers(LIMITS),
        limits=LIMITS,
        metrics=Metrics(),
    )
    with ExitStack() as stack:
        found: Any = sources.bring([Source("video", url, None, None, "here")], stack)
        assert isinstance(found, Medium)
        return Stored(found.paths[0], found.sha256[0], found.paths[0].stat().st_size)


def test_files_of_the_folder_are_found_and_known_by_their_content(spool: Spool, folder: Path) -> None:
    named = bring(spool, folder, f"file://{quote(str(folder / 'a b.mp4'))}")
    assert named.path.read_bytes() == b"film"
    sent = bring(spool, folder, "data:video/mp4;base64,ZmlsbQ==")
    assert (sent.sha256, sent.path != named.path) == (named.sha256, True)
    assert bring(spool, folder, "data:,film").sha256 == named.sha256
    (folder / "a b.mp4").write_bytes(b"FILM")
    assert bring(spool, folder, f"file://{quote(str(folder / 'a b.mp4'))}").sha256 != named.sha256


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../secret", 403),
        ("..%2fsecret", 403),
        ("folder/../../secret", 403),
        ("folder/../a b.mp4", 403),
        ("out", 403),
        ("round", 404),
        ("a%00.mp4", 403),
        ("../media2/c.mp4", 403),
        ("missing.mp4", 404),
        ("folder", 400),
        ("pipe", 400),
        ("large.mp4", 413),
    ],
)
def test_nothing_outside_is_read_and_nothing_but_files(spool: Spool, folder: Path, path: str, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        bring(spool, folder, f"file://{folder}/{path}")
    assert (caught.value.status, caught.value.param) == (status, "here")
    assert str(folder) not in caught.value.said


@pytest.mark.parametrize("path", ["{}2/c.mp4", "/etc/passwd", "//other.host{}/a b.mp4"])
def test_nor_what_only_begins_alike_or_is_elsewhere(spool: Spool, folder: Path, path: str) -> None:
    with pytest.raises(Refusal) as caught:
        bring(spool, folder, f"file:{path.format(folder)}")
    assert caught.value.code == "path_not_allowed"


def put(spool: Spool, data: bytes) -> str:
    with spool.writing(LIMITS.source_bytes) as writer:
        writer.write(data)
        with writer.kept() as stored:
            return stored.sha256


def is_there(spool: Spool, sha256: str) -> bool:
    try:
        with spool.holding(sha256) as found:
            return found.path.is_file()
    except Refusal:
        return False


def test_what_was_used_longest_ago_makes_room_unless_it_is_held(spool: Spool) -> None:
    first, second = put(spool, b"a" * 100), put(spool, b"b" * 100)
    with spool.holding(first):
        third = put(spool, b"c" * 100)
        assert [is_there(spool, one) for one in (first, second, third)] == [True, False, True]
    assert spool.num_bytes == 200
    assert put(spool, b"c" * 100) == third
    assert spool.num_bytes == 200


def test_where_everything_is_held_a_file_is_refused(spool: Spool) -> None:
    first, second = put(spool, b"a" * 100), put(spool, b"b" * 100)
    with spool.holding(first), spool.holding(second), pytest.raises(Refusal) as caught:
        put(spool, b"c" * 100)
    assert (caught.value.status, caught.value.code) == (503, "no_room")
    assert is_there(spool, first)


def test_files_that_are_too_large_or_empty_are_refused(spool: Spool) -> None:
    with pytest.raises(Refusal, match="larger than 100 bytes"):
        put(spool, b"x" * 101)
    with pytest.raises(Refusal, match="empty"):
        put(spool, b"")
    assert spool.num_bytes == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_emptied_and_told(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(spool, b"a" * 100)
    opened = os.open

    def open_full(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).name.startswith("."):
            return opened("/dev/full", os.O_WRONLY)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_full)
    with pytest.raises(Refusal) as caught:
        put(spool, b"b" * 100)
    monkeypatch.undo()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "no_room", 10)
    assert not is_there(spool, first)
    assert is_there(spool, put(spool, b"b" * 100))
