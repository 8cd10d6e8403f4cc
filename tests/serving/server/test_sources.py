"""Files that a request may name, and the spool that keeps uploads."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest

from himmel.serving.server.fetch import Fetcher
from himmel.serving.server.limits import Limits
from himmel.serving.server.messages import Source
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.reading import Medium, Readers
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.sources import Sources, _decode
from himmel.serving.server.spool import Spool, Stored
from himmel.serving.server.uploads import Uploads

# The least that a file counts for.
UNIT = 2**16
LIMITS = Limits(source_bytes=UNIT, spool_bytes=5 * UNIT // 2, workers=1)


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
    (media / "large.mp4").write_bytes(b"x" * (UNIT + 1))
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
        uploads=Uploads(spool),
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


@pytest.mark.parametrize(
    "path", ["{}2/c.mp4", "/etc/passwd", "//other.host{}/a b.mp4", "//[::1{}/a b.mp4", "", "a b.mp4"]
)
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
    first, second = put(spool, b"a" * UNIT), put(spool, b"b" * UNIT)
    with spool.holding(first):
        third = put(spool, b"c" * UNIT)
        assert [is_there(spool, one) for one in (first, second, third)] == [True, False, True]
    assert spool.num_bytes == 2 * UNIT
    spool.discard(first)
    assert put(spool, b"c" * UNIT) == third
    assert spool.num_bytes == UNIT


def test_where_everything_is_held_a_file_is_refused(spool: Spool) -> None:
    first, second = put(spool, b"a" * UNIT), put(spool, b"b" * UNIT)
    with spool.holding(first), spool.holding(second), pytest.raises(Refusal) as caught:
        put(spool, b"c" * UNIT)
    assert (caught.value.status, caught.value.code) == (503, "no_room")
    assert is_there(spool, first)


def test_files_that_are_too_large_or_empty_are_refused(spool: Spool) -> None:
    with pytest.raises(Refusal, match="larger than 65,536 bytes"):
        put(spool, b"x" * (UNIT + 1))
    with pytest.raises(Refusal, match="empty"):
        put(spool, b"")
    assert spool.num_bytes == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_emptied_and_told(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(spool, b"a" * UNIT)
    opened = os.open

    def open_full(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path).name.startswith("."):
            return opened("/dev/full", os.O_WRONLY)
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_full)
    with pytest.raises(Refusal) as caught:
        put(spool, b"b" * UNIT)
    monkeypatch.undo()
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "no_room", 10)
    assert not is_there(spool, first)
    assert is_there(spool, put(spool, b"b" * UNIT))


def test_what_is_being_written_counts(spool: Spool) -> None:
    first = put(spool, b"a" * UNIT)
    with spool.writing(UNIT) as one, spool.writing(UNIT) as other:
        one.write(b"b" * UNIT)
        assert is_there(spool, first)
        other.write(b"c" * (UNIT - 1))
        assert not is_there(spool, first)
        assert spool.num_bytes == 2 * UNIT - 1
        with spool.writing(UNIT) as third, pytest.raises(Refusal) as caught:
            third.write(b"d" * UNIT)
        assert caught.value.code == "no_room"
    assert spool.num_bytes == 0


def test_small_files_are_not_without_number(spool: Spool) -> None:
    files = [put(spool, bytes([number])) for number in range(5)]
    assert [is_there(spool, one) for one in files] == [False, False, False, True, True]
    assert spool.num_files == 2


def test_what_is_removed_while_it_is_held_goes_afterwards(spool: Spool) -> None:
    first = put(spool, b"a")
    with spool.holding(first) as held:
        spool.discard(first)
        assert held.path.exists()
        assert not spool.has(first)
    assert not held.path.exists()
    with spool.holding(put(spool, b"a")):
        spool.discard(first)
        # What comes again is wanted again.
        assert put(spool, b"a") == first
    assert is_there(spool, first)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such links and pipes")
def test_what_takes_a_file_s_place_after_it_was_checked_is_not_read(spool: Spool, folder: Path) -> None:
    """The path was resolved; now a link, a pipe or a folder elsewhere lies there."""
    assert spool.hash_of(folder / "a b.mp4", UNIT).size == 4
    for name in ("out", "pipe", "folder"):
        with pytest.raises(OSError, match=r"\w"):
            spool.hash_of(folder / name, UNIT)
    (folder / "way").symlink_to(folder.parent / "media2")
    with pytest.raises(OSError, match=r"\w"):
        spool.hash_of(folder / "way" / "c.mp4", UNIT)


def test_a_file_that_grows_beyond_the_limit_is_left(spool: Spool, folder: Path) -> None:
    with pytest.raises(Refusal, match="larger than 3 bytes"):
        spool.hash_of(folder / "a b.mp4", 3)


@pytest.mark.parametrize("length", [0, 1, 65_534, 65_535, 65_536, 65_537])
def test_a_data_url_in_percent_is_the_same_in_pieces(length: int) -> None:
    text = "a" * length + "%41%C3%BC%zz%" + "b" * 70_000 + "%4"
    assert _decode(f"data:,{text}") == unquote_to_bytes(text)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_what_a_killed_server_left_is_removed_and_no_other_s(tmp_path: Path) -> None:
    left, young, elsewhere = (
        tmp_path / "himmel-spool-left",
        tmp_path / "himmel-spool-young",
        tmp_path / "himmel-serve-live-1",
    )
    for one in (left, young, elsewhere):
        one.mkdir()
        (one / "file").write_bytes(b"x")
    (tmp_path / "himmel-spool-link").symlink_to(elsewhere)
    running = Spool(LIMITS, tmp_path)
    for one in tmp_path.iterdir():
        if one != young:
            os.utime(one, (0, 0), follow_symlinks=False)
    later = Spool(LIMITS, tmp_path)
    assert not left.exists()
    assert (young / "file").exists()
    assert (elsewhere / "file").exists()
    put(running, b"still here")
    for one in (running, later):
        one.close()


def upload(spool: Spool, uploads: Uploads, owner: str, data: bytes) -> str:
    with spool.writing(UNIT) as writer:
        writer.write(data)
        with writer.kept() as stored:
            return uploads.add(owner, stored, "name").id


def test_an_upload_is_kept_that_another_key_removed_as_it_came(spool: Spool) -> None:
    uploads = Uploads(spool)
    first = upload(spool, uploads, "one", b"film")
    with spool.writing(UNIT) as writer:
        writer.write(b"film")
        with writer.kept() as stored:
            uploads.remove("one", first)
            second = uploads.add("two", stored, "name").id
    assert uploads.find("two", second).size == 4
    uploads.remove("two", second)
    assert spool.num_files == 0


def test_an_upload_that_comes_again_is_the_newest(spool: Spool) -> None:
    uploads = Uploads(spool)
    film, other = (upload(spool, uploads, "one", data) for data in (b"film", b"other"))
    assert [one.id for one in uploads.all("one")] == [other, film]
    assert upload(spool, uploads, "one", b"film") == film
    assert [one.id for one in uploads.all("one")] == [film, other]
