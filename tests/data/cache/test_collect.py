"""What `himmel cache gc` removes, and above all what it does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.cache import collect as collecting
from himmel.data.cache.collect import collect
from himmel.data.cache.verify import verify_cache
from himmel.data.prepare import prepare

Encode = Callable[..., Path]
SETTINGS = CacheSettings(num_anchors=2, steps_per_interval=2)


@pytest.fixture
def sources(encode_clip: Encode, tmp_path: Path) -> tuple[Path, Path]:
    """Two folders that have different videos under the same name."""
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        encode_clip(f"{name}/a.mp4", num_frames=8 + number)
    return tmp_path / "one", tmp_path / "two"


def test_the_same_name_in_two_folders_is_two_videos(sources: tuple[Path, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for source in sources:
        prepare(str(source), cache, settings=SETTINGS)
    assert collect(cache).videos == 0
    store = StreamCache(cache)
    frames = [store.read(str(store.find(source / "a.mp4"))).num_frames for source in sources]
    assert frames == [8, 9]
    last = store.find("a.mp4")
    assert last == store.find(sources[1] / "a.mp4")
    # The first once more: its line is the last of that name, and stays so.
    prepare(str(sources[0]), cache, settings=SETTINGS)
    collect(cache)
    assert StreamCache(cache).find("a.mp4") == store.find(sources[0] / "a.mp4") != last


def test_a_file_that_is_out_of_reach_costs_nothing_in_the_cache(sources: tuple[Path, Path], tmp_path: Path) -> None:
    cache, video = tmp_path / "cache", sources[0] / "a.mp4"
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"video": "one/a.mp4"}\n')
    prepare(str(rows), cache, settings=SETTINGS)
    data = video.read_bytes()
    video.unlink()
    assert len(prepare(str(rows), cache, settings=SETTINGS).failed) == 1
    assert collect(cache).videos == 0
    assert len(prepare(str(rows), cache, settings=SETTINGS).failed) == 1
    video.write_bytes(data)
    assert prepare(str(rows), cache, settings=SETTINGS).prepared == 1
    assert StreamCache(cache).find("one/a.mp4") is not None


def test_a_cache_whose_first_run_was_killed_at_once_is_collected(sources: tuple[Path, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    prepare(str(sources[0]), cache, settings=SETTINGS)
    for path in (*(cache / "shards").iterdir(), cache / "shards.jsonl", cache / "videos.jsonl"):
        path.unlink()
    (cache / "shards").rmdir()
    (cache / ".shards.ab12.jsonl").write_text("half")
    assert (collect(cache, dry_run=True).files, collect(cache).files, collect(cache).files) == (1, 1, 0)


def test_a_call_that_is_stopped_midway_leaves_no_damage(
    sources: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode_clip: Encode
) -> None:
    cache = tmp_path / "cache"
    encode_clip("one/b.mp4", num_frames=20)
    prepare(str(sources[0]), cache, settings=SETTINGS)

    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    # As soon as the index is written.
    monkeypatch.setattr(collecting, "feature_sets", stop)
    with pytest.raises(KeyboardInterrupt):
        collect(cache, keep=["a.mp4"])
    monkeypatch.undo()
    assert len(StreamCache(cache)) == 1
    assert not verify_cache(cache).damage
    assert collect(cache, keep=["a.mp4"]).files == 1
    assert len(list((cache / "shards").iterdir())) == 1
