"""`himmel prepare` and `himmel cache`."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.data.cache import StreamCache
from himmel.data.cache.verify import verify_cache
from odd_folders import close_folder

Encode = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]
FEW = ("--anchors", "2", "--steps", "3", "--workers", "1")


@pytest.fixture
def prepared(run: Run, encode_clip: Encode, tmp_path: Path) -> Path:
    """A cache of three videos in two shards."""
    (tmp_path / "videos").mkdir()
    for name in "abc":
        encode_clip(f"videos/{name}.mp4", num_frames=8 + ord(name))
    cache = tmp_path / "cache"
    code, out, err = run("prepare", tmp_path / "videos", "-o", cache, "--shard-videos", "2", *FEW)
    assert (code, err) == (0, "")
    assert re.search(r"h264 +bitstream +3 +0.00", out)
    assert "3 of 3 videos are in" in out
    assert "MB for an hour of video" in out
    return cache


def test_a_bad_video_is_listed_and_is_exit_code_1(run: Run, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "videos" / "bad.mp4").write_text("no video")
    command = ("prepare", tmp_path / "videos", "-o", prepared, "--shard-videos", "2", *FEW)
    code, out, err = run(*command)
    assert (code, err) == (1, "")
    assert "invalid data" in out
    assert "1 of 4 videos" in out
    code, out, _ = run(*command, "--json")
    found = json.loads(out)
    assert (code, found["videos"], found["prepared"], found["read"]) == (1, 4, 3, 0)
    assert [(one["name"], one["cause"]) for one in found["failed"]] == [("bad.mp4", "refused")]
    code, out, _ = run("cache", "ls", prepared, "--failed")
    assert (code, out.startswith("bad.mp4: ")) == (0, True)


def test_ls_counts_every_byte(run: Run, prepared: Path) -> None:
    code, out, err = run("cache", "ls", prepared)
    assert (code, err) == (0, "")
    assert "3 videos (" in out
    found = json.loads(run("cache", "ls", prepared, "--json")[1])
    size = sum(path.stat().st_size for path in (prepared / "shards").iterdir())
    assert found["bytes"] == sum(found["parts"].values()) == size
    assert set(found["parts"]) == {"motion", "residual", "anchors", "last pictures", "other"}
    assert (found["videos"], found["shards"], found["unfinished"]) == (3, 2, False)
    seconds = sum((8 + ord(name)) / 25 for name in "abc")
    assert found["bytes_per_hour"] == pytest.approx(3600 * size / seconds)


def test_verify_finds_a_changed_byte_wherever_it_is(run: Run, prepared: Path) -> None:
    code, out, err = run("cache", "verify", prepared, "--decode")
    assert (code, err) == (0, "")
    assert "is whole: 5 files" in out
    draw = random.Random(0)
    files = sorted(path for path in prepared.rglob("*") if path.is_file() and path.name != ".lock")
    assert len(files) == 5
    for file in files:
        whole = file.read_bytes()
        for place in (0, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(40))):
            changed = bytearray(whole)
            changed[place] ^= 1 << draw.randrange(8)
            file.write_bytes(changed)
            assert verify_cache(prepared).damage, (file, place)
        file.write_bytes(whole[:-1])
        assert verify_cache(prepared).damage, file
        file.write_bytes(whole)
    assert not verify_cache(prepared).damage


def test_verify_names_the_videos_of_a_lost_shard_and_they_are_read_again(
    run: Run, prepared: Path, tmp_path: Path
) -> None:
    (prepared / "shards" / "000000.parquet").unlink()
    code, out, _ = run("cache", "verify", prepared, "--json")
    (damage,) = json.loads(out)["damage"]
    assert (code, damage["file"], damage["names"]) == (1, "shards/000000.parquet", ["a.mp4", "b.mp4"])
    code, out, _ = run("cache", "verify", prepared)
    assert code == 1
    assert "a.mp4, b.mp4" in out
    assert "is damaged" in out
    assert "Remove damaged .parquet files and run `himmel prepare` again" in out
    out = run("prepare", tmp_path / "videos", "-o", prepared, "--shard-videos", "2", *FEW, "--json")[1]
    assert (json.loads(out)["read"], json.loads(out)["prepared"]) == (2, 3)
    assert run("cache", "verify", prepared, "--decode")[0] == 0


def test_gc_removes_what_no_file_has_any_more(run: Run, prepared: Path, encode_clip: Encode, tmp_path: Path) -> None:
    old = StreamCache(prepared)
    stale, kept = old.find("a.mp4"), old.find("b.mp4")
    assert stale is not None
    assert kept is not None
    encode_clip("videos/a.mp4", num_frames=30)
    assert run("prepare", tmp_path / "videos", "-o", prepared, "--shard-videos", "2", *FEW)[0] == 0
    (prepared / "shards" / "000009.parquet").write_text("left over")
    wanted = {key: StreamCache(prepared).about(key) for key in list(StreamCache(prepared).keys()) if key != stale}
    code, out, _ = run("cache", "gc", prepared, "--dry-run", "--json")
    assert (code, json.loads(out)["videos"], json.loads(out)["files"]) == (0, 1, 1)
    assert stale in StreamCache(prepared)
    code, out, _ = run("cache", "gc", prepared)
    assert (code, "1 videos and 1 stray files were removed" in out) == (0, True)
    cache = StreamCache(prepared)
    assert {key: cache.about(key) for key in list(cache.keys())} == wanted
    assert len(cache.read(kept).anchors) == 2
    assert run("cache", "verify", prepared, "--decode")[0] == 0
    assert run("prepare", tmp_path / "videos", "-o", prepared, "--shard-videos", "2", *FEW)[0] == 0
    assert json.loads(run("cache", "gc", prepared, "--json")[1])["videos"] == 0


def test_gc_can_keep_one_source_alone(run: Run, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "videos" / "c.mp4").unlink()
    code, out, _ = run("cache", "gc", prepared, "--keep", tmp_path / "videos", "--json")
    found = json.loads(out)
    assert (code, found["videos"], found["bytes_after"] < found["bytes_before"]) == (0, 1, True)
    cache = StreamCache(prepared)
    assert (len(cache), cache.find("c.mp4"), cache.find("a.mp4") in cache) == (2, None, True)
    assert [path.name for path in (prepared / "shards").iterdir()] == ["000000.parquet"]


def test_a_hosts_features_are_kept_and_listed(run: Run, prepared: Path, tmp_path: Path, nano_folder: str) -> None:
    command = ("prepare", tmp_path / "videos", "-o", prepared, "--shard-videos", "2", *FEW, "--features", nano_folder)
    code, out, _ = run(*command)
    assert (code, f"Features of {nano_folder} (tower) for 3 videos, 3 made now" in out) == (0, True)
    found = json.loads(run(*command, "--json")[1])
    assert (found["read"], found["features"]["videos"], found["features"]["made"]) == (0, 3, 0)
    assert f"{nano_folder}: 3 videos, tower" in " ".join(run("cache", "ls", prepared)[1].split())
    (listed,) = json.loads(run("cache", "ls", prepared, "--json")[1])["features"]
    assert (listed["host"], listed["videos"]) == (nano_folder, 3)
    assert "is whole: 9 files" in run("cache", "verify", prepared)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (("prepare", "nowhere", "-o", "cache"), 1, "There is no"),
        (("prepare", "", "-o", "cache"), 2, "The path is empty"),
        (("prepare", "empty", "-o", "cache"), 1, "holds no files that end in"),
        (("prepare", "empty"), 2, "'--output'"),
        (("prepare", "videos", "-o", "cache", "--cell", "5"), 2, "cell=5"),
        (("prepare", "videos", "-o", "cache", "--maps", "int4"), 2, "'int4'"),
        (("prepare", "videos", "-o", "videos"), 2, "holds other files"),
        (("prepare", "videos", "-o", "cache", "--features", "empty"), 1, "There is no host 'empty'"),
        (("prepare", "videos", "-o", "cache", "--ray", ""), 2, "is empty"),
        (("cache", "ls", "empty"), 2, "holds no cache"),
        (("cache", "gc", "empty", "--keep", ""), 2, "is empty"),
        (("cache", "verify", "nowhere"), 2, "holds no cache"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, names: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("videos").mkdir()
    Path("videos/a.mp4").touch()
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert names in err
    assert not Path("cache").exists()


def test_gc_lists_a_source_as_it_was_prepared(run: Run, tmp_path: Path, encode_clip: Encode) -> None:
    (tmp_path / "videos").mkdir()
    for number, name in enumerate(("a.mp4", "b.dat")):
        encode_clip(f"videos/{name}", num_frames=8 + number, container_format="mp4")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"clip": "a.mp4"}\n{"clip": "b.dat"}\n')
    for source, options in (
        (rows, ("--column", "clip", "--media", tmp_path / "videos")),
        (tmp_path / "videos", ("--every-file",)),
    ):
        cache = tmp_path / f"cache-{source.stem}"
        assert run("prepare", source, "-o", cache, *FEW, *options)[0] == 0
        out = run("cache", "gc", cache, "--keep", source, *options, "--json")[1]
        assert (json.loads(out)["videos"], len(StreamCache(cache))) == (0, 2)


def test_gc_removes_nothing_if_a_folder_cannot_be_listed(
    run: Run, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close_folder(tmp_path / "videos" / "closed", monkeypatch)
    (tmp_path / "videos" / "c.mp4").rename(tmp_path / "videos" / "closed" / "c.mp4")
    code, out, err = run("cache", "gc", prepared, "--keep", tmp_path / "videos")
    assert (code, out) == (1, "")
    assert "cannot be listed (permission denied); change its permissions, or nothing is removed." in err
    assert len(StreamCache(prepared)) == 3
