import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
import pytest
import yaml

from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.prepare import prepare
from himmel.data.sources import as_file, list_videos
from himmel.data.sources.video import NoRoomError
from himmel.errors import HimmelError, UsageError, VideoError
from himmel.video import Video

Encode = Callable[..., Path]
SETTINGS = CacheSettings(num_anchors=2, steps_per_interval=2)


def names(source: str | Path, **options: object) -> list[str]:
    return [video.name for video in list_videos(str(source), **options)]  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a/1.mp4", "a/2.MKV", "b/1.mp4", "b/note.txt", "b/.hidden.mp4", "0.webm"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "videos"


def test_a_pattern_takes_what_fits(folder: Path) -> None:
    assert names(folder / "*" / "*") == ["a/1.mp4", "a/2.MKV", "b/1.mp4"]
    assert names(folder / "**" / "1.*") == ["a/1.mp4", "b/1.mp4"]
    assert names(folder / "b" / "*", every_file=True) == ["1.mp4", "note.txt"]
    with pytest.raises(HimmelError, match="holds no files that end in"):
        names(folder / "*.avi")


def rows(*paths: object) -> list[dict[str, object]]:
    return [{"id": number, "video": path} for number, path in enumerate(paths)]


def write(path: Path, content: list[dict[str, object]]) -> Path:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(content), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_annotations_name_each_video_once(folder: Path, tmp_path: Path, suffix: str) -> None:
    whole = str(folder / "0.webm")
    file = write(folder / f"train{suffix}", rows("b/1.mp4", "a/1.mp4", None, "b/1.mp4", whole, "gone.mp4"))
    found = list(list_videos(str(file)))
    assert [video.name for video in found] == ["b/1.mp4", "a/1.mp4", whole, "gone.mp4"]
    assert [video.place for video in found] == [
        str(folder / name) for name in ("b/1.mp4", "a/1.mp4", "0.webm", "gone.mp4")
    ]
    assert [video.bytes for video in found] == [7, 7, 6, 0]
    moved = write(tmp_path / f"elsewhere{suffix}", rows("1.mp4"))
    (video,) = list_videos(str(moved), media=folder / "a")
    assert video.place == str(folder / "a" / "1.mp4")
    with pytest.raises(HimmelError, match="in the column 'clip'"):
        names(file, column="clip")


def test_other_columns_hold_paths_too(folder: Path) -> None:
    file = write(folder / "a.jsonl", [{"clip": {"path": "a/1.mp4"}}, {"clip": ["b/1.mp4", "s3://bucket/c.mp4"]}])
    found = list(list_videos(str(file), column="clip"))
    assert [video.place for video in found] == [
        *(str(folder / name) for name in ("a/1.mp4", "b/1.mp4")),
        "s3://bucket/c.mp4",
    ]


def test_the_yaml_of_llava_names_files_and_the_same_name_in_two_folders_is_two_videos(folder: Path) -> None:
    write(folder / "a" / "x_v0_1_qa.json", rows("1.mp4"))
    write(folder / "b" / "y_v0_1_qa.json", rows("1.mp4", "1.mp4"))
    about = folder / "exp.yaml"
    about.write_text(
        yaml.safe_dump({"datasets": [{"json_path": "{a/x,b/y}_v0_1_qa.json", "sampling_strategy": "first:1"}]})
    )
    assert names(about) == ["1.mp4", str(folder / "b" / "1.mp4")]
    assert names(about, media=folder / "a") == ["1.mp4"]


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_videos_in_archives_are_read_from_where_they_lie(encode_clip: Encode, tmp_path: Path) -> None:
    clips = {name: encode_clip(name, num_frames=8 + number) for number, name in enumerate(("a.mp4", "b.mp4", "c.mp4"))}
    (tmp_path / "shards").mkdir()
    first = {"0001.mp4": clips["a.mp4"].read_bytes(), "0001.json": b"{}", "0002.mp4": clips["b.mp4"].read_bytes()}
    archive(tmp_path / "shards" / "s-00.tar", first)
    archive(tmp_path / "shards" / "s-01.tar", {"0003.mp4": clips["c.mp4"].read_bytes(), "0004.mp4": b"no video"})
    source = str(tmp_path / "shards" / "s-{00..01}.tar")
    wanted = ["s-00.tar/0001.mp4", "s-00.tar/0002.mp4", "s-01.tar/0003.mp4", "s-01.tar/0004.mp4"]
    assert names(source) == names(tmp_path / "shards" / "*.tar") == wanted
    found = prepare(source, tmp_path / "cache", settings=SETTINGS)
    (failed,) = found.failed
    assert failed.name == wanted[3]
    assert repr(wanted[3]) in failed.error
    cache = StreamCache(tmp_path / "cache")
    for name, clip in zip(wanted, clips.values(), strict=False):
        assert cache.find(name) == cache.find(Video(clip).sha256) is not None
    with pytest.raises(HimmelError, match="cannot be read"):
        names(tmp_path / "s-{5..6}.tar")
    (tmp_path / "text.tar").write_text("no archive" * 100)
    with pytest.raises(HimmelError, match="no plain tar file"):
        names(tmp_path / "text.tar")


def test_an_archive_that_is_cut_off_is_told_of(encode_clip: Encode, tmp_path: Path) -> None:
    clip = encode_clip("a.mp4")
    whole = archive(tmp_path / "s.tar", {"a.mp4": clip.read_bytes()})
    (video,) = list_videos(str(whole))
    whole.write_bytes(whole.read_bytes()[: clip.stat().st_size // 2])
    with pytest.raises(VideoError, match="ends before"), as_file(video, tmp_path):
        pass
    assert not list(tmp_path.glob(".source*"))


def test_addresses_are_listed_and_copied(encode_clip: Encode, tmp_path: Path) -> None:
    clip = encode_clip("clip.mp4")
    system = fsspec.filesystem("memory")
    for name in ("set/b/1.mp4", "set/a/2.mp4", "set/a/note.txt", "set/.x/3.mp4"):
        system.pipe(f"/{name}", clip.read_bytes())
    try:
        assert names("memory://set") == ["a/2.mp4", "b/1.mp4"]
        assert names("memory://set/*/*.mp4") == ["a/2.mp4", "b/1.mp4"]
        first = next(iter(list_videos("memory://set")))
        assert first.bytes == clip.stat().st_size
        assert first.modified > 0
        with as_file(first, tmp_path) as path:
            assert path.read_bytes() == clip.read_bytes()
        assert not list(tmp_path.glob(".source*"))
        system.rm("/set/a/2.mp4")
        with pytest.raises(VideoError, match="There is no file"), as_file(first, tmp_path):
            pass
        system.pipe("/set/s.tar", archive(tmp_path / "s.tar", {"x.mp4": clip.read_bytes()}).read_bytes())
        (member,) = list_videos("memory://set/s.tar")
        with as_file(member, tmp_path) as path:
            assert path.read_bytes() == clip.read_bytes()
    finally:
        system.rm("/set", recursive=True)
    with pytest.raises(HimmelError, match="holds no files"):
        names("memory://set")
    with pytest.raises(HimmelError, match="cannot be reached"):
        names("gopher2://set")
    with pytest.raises(UsageError, match="download the annotations"):
        names("memory://set/a.jsonl")


def test_a_file_address_is_a_path(folder: Path) -> None:
    assert list(list_videos(folder.as_uri())) == list(list_videos(str(folder)))


def test_archives_of_the_same_name_in_several_folders_are_several(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"part-{number}").mkdir()
        archive(tmp_path / f"part-{number}" / "s.tar", {"0001.mp4": bytes(number + 1)})
    wanted = ["part-0/s.tar/0001.mp4", "part-1/s.tar/0001.mp4"]
    assert names(tmp_path / "part-{0..1}" / "s.tar") == names(tmp_path / "part-*" / "*.tar") == wanted
    assert [video.bytes for video in list_videos(str(tmp_path / "part-*" / "s.tar"))] == [1, 2]
    with pytest.raises(HimmelError, match="There is no archive"):
        names(tmp_path / "elsewhere-*" / "s.tar")


def test_a_member_that_is_twice_in_an_archive_is_two_videos(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for size in (1, 2):
            member = tarfile.TarInfo("a.mp4")
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    found = list(list_videos(str(tmp_path / "s.tar")))
    assert [video.bytes for video in found] == [1, 2]
    assert [video.name for video in found] == ["s.tar/a.mp4", f"s.tar/a.mp4@{found[1].offset}"]


def test_an_archive_with_a_damaged_header_does_not_end_there(tmp_path: Path) -> None:
    whole = archive(tmp_path / "s.tar", {"a.mp4": b"a", "b.mp4": b"b", "c.mp4": b"c"})
    data = bytearray(whole.read_bytes())
    data[1024 + 100] ^= 1
    whole.write_bytes(data)
    with pytest.raises(HimmelError, match=r"damaged \(header at byte 1,024\)"):
        names(whole)
    # Without the blocks of zeros at its end, an archive is whole all the same.
    archive(whole, {"a.mp4": b"a"})
    whole.write_bytes(whole.read_bytes()[:1024])
    assert names(whole) == ["s.tar/a.mp4"]


def test_an_archive_at_an_address_is_never_passed_over(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    data = archive(tmp_path / "s.tar", {"a.mp4": b"a"}).read_bytes()
    for place in ("/set/0/s.tar", "/set/1/s.tar"):
        system.pipe(place, data)
    system.pipe("/set/text.tar", b"no archive" * 100)
    try:
        assert names("memory://set/{0..1}/s.tar") == ["0/s.tar/a.mp4", "1/s.tar/a.mp4"]
        with pytest.raises(HimmelError, match=r"There is no archive 'memory://set/2/s\.tar'"):
            names("memory://set/{0..2}/s.tar")
        with pytest.raises(HimmelError, match="no plain tar file"):
            names("memory://set/text.tar")
    finally:
        system.rm("/set", recursive=True)


def test_what_is_hidden_is_left_out_by_patterns_too(folder: Path) -> None:
    (folder / ".trash").mkdir()
    (folder / ".trash" / "1.mp4").touch()
    assert names(folder / "*" / "1.mp4") == ["a/1.mp4", "b/1.mp4"]
    assert names(folder / ".trash" / "*.mp4") == ["1.mp4"]


def test_a_copy_that_ends_early_is_no_video(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/set/a.mp4", b"12345678")
    try:
        (video,) = list_videos("memory://set")
        system.pipe("/set/a.mp4", b"1234")
        with pytest.raises(VideoError, match=r"ends before 'a\.mp4' does; try again"), as_file(video, tmp_path):
            pass
        # Nothing is known of its size.
        with as_file(replace(video, bytes=0), tmp_path) as path:
            assert path.read_bytes() == b"1234"
    finally:
        system.rm("/set", recursive=True)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are set otherwise")
@pytest.mark.parametrize("size", [100, 2_000_000])
def test_no_room_for_a_copy_is_not_the_videos_fault(tmp_path: Path, size: int) -> None:
    whole = archive(tmp_path / "s.tar", {"a.mp4": bytes(size)})
    program = (
        "import resource, signal, sys; from pathlib import Path; from himmel.data.sources import as_file, list_videos\n"
        "(video,) = list_videos(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50)); signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n    with as_file(video, Path(sys.argv[2])): pass\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", program, str(whole), str(tmp_path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.startswith("NoRoomError ")
    assert "would be larger than" in out


def test_a_folder_for_copies_that_is_gone_is_not_the_videos_fault(tmp_path: Path) -> None:
    (video,) = list_videos(str(archive(tmp_path / "s.tar", {"a.mp4": b"a"})))
    with pytest.raises(NoRoomError, match="cannot be written to"), as_file(video, tmp_path / "gone"):
        pass


def test_an_archive_of_which_only_its_address_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = fsspec.filesystem("memory")
    system.pipe("/set/s.tar", archive(tmp_path / "s.tar", {"a.mp4": b"a"}).read_bytes())
    about = system.info("/set/s.tar")
    changed = {"Last-Modified": "Fri, 27 Nov 2026 04:28:44 GMT"}
    # As fsspec does over HTTP.
    monkeypatch.setattr(type(system), "find", lambda self, path, detail: {path: {}})
    monkeypatch.setattr(type(system), "info", lambda self, path: {**about, "created": None, **changed})
    try:
        (video,) = list_videos("memory://set/s.tar")
        assert (video.name, video.modified) == ("s.tar/a.mp4", 1_795_753_724 * 10**9)
    finally:
        monkeypatch.undo()
        system.rm("/set", recursive=True)
