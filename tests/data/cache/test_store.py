import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, fields, replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.cache.settings import VERSION
from himmel.data.prepare import prepare
from himmel.errors import HimmelError, UsageError
from himmel.video import Decomposition, Video
from sound_clips import swelling, write_sound
from work_apart import anchor_frames

Encode = Callable[..., Path]
READING = {"num_anchors": 3, "steps_per_interval": 4}
LUMA = np.array([0.299, 0.587, 0.114])
EXACT = CacheSettings(**READING, maps="float16", pictures="png", rgb_difference=True)


@pytest.fixture
def videos(encode_clip: Encode, tmp_path: Path) -> Path:
    """A folder of three small clips of different kinds."""
    (tmp_path / "videos").mkdir()
    encode_clip("videos/a.mp4", options={"g": "12", "bf": "2"})
    encode_clip("videos/b.avi", codec="mpeg4", size=(96, 64), num_frames=30)
    encode_clip("videos/c.mkv", num_frames=1)
    return tmp_path / "videos"


def maps(streams: Decomposition, name: str) -> np.ndarray:
    return np.concatenate([getattr(interval.maps, name) for interval in streams.intervals])


def test_what_is_read_is_what_the_video_gives(videos: Path, tmp_path: Path) -> None:
    prepare(str(videos), tmp_path / "cache", settings=EXACT)
    cache = StreamCache(tmp_path / "cache")
    assert len(cache) == 3
    for name in ("a.mp4", "b.avi", "c.mkv"):
        wanted = Video(videos / name)
        hashed = wanted.sha256
        streams = wanted.decompose(**READING, rgb_difference=True)
        key = cache.find(name)
        assert key is not None
        found = cache.read(key)
        assert (found.path, found.sha256, found.seconds) == (name, hashed, {})
        for field in fields(Decomposition):
            if field.name not in ("path", "sha256", "seconds", "anchors", "intervals"):
                assert getattr(found, field.name) == getattr(streams, field.name), field.name
        for one, other in zip(found.anchors, streams.anchors, strict=True):
            assert (one.frame, one.time, one.keyframe, one.reason) == (
                other.frame,
                other.time,
                other.keyframe,
                other.reason,
            )
            np.testing.assert_array_equal(one.image, other.image)
        for one, other in zip(found.intervals, streams.intervals, strict=True):
            assert (one.anchor, one.start, one.stop) == (other.anchor, other.start, other.stop)
            np.testing.assert_array_equal(one.frames, other.frames)
            np.testing.assert_array_equal(one.times, other.times)
            for field in fields(other.maps):
                stored, given = getattr(one.maps, field.name), getattr(other.maps, field.name)
                assert stored.dtype == given.dtype
                np.testing.assert_allclose(stored, given, rtol=2**-11, atol=2**-25)
            assert one.rgb_difference is not None
            np.testing.assert_allclose(one.rgb_difference, other.rgb_difference, rtol=2**-11, atol=2**-25)
        last = cache.last_picture(key)
        assert last is not None
        np.testing.assert_array_equal(last, wanted.frames([wanted.num_frames - 1]).frames[0].image)


def test_one_byte_a_value_is_near_enough(videos: Path, tmp_path: Path) -> None:
    prepare(str(videos), tmp_path / "cache", settings=CacheSettings(**READING))
    cache = StreamCache(tmp_path / "cache")
    key = cache.find("a.mp4")
    assert key is not None
    found, streams = cache.read(key), Video(videos / "a.mp4").decompose(**READING)
    for name in ("past", "future", "residual"):
        stored, given = maps(found, name), maps(streams, name)
        most = np.abs(given).max(axis=(2, 3), keepdims=True)
        assert most.max() > 0
        assert (np.abs(stored - given) <= 0.008 * most).all()
    for name in ("past_valid", "future_valid", "covered"):
        assert np.abs(maps(found, name) - maps(streams, name)).max() <= 1 / 255
    for name in ("past_distance", "future_distance"):
        np.testing.assert_array_equal(maps(found, name), maps(streams, name))
    for one, other in zip(found.anchors, streams.anchors, strict=True):
        # JPEG halves the resolution of colour, and this clip is all colour.
        assert np.abs(one.image @ LUMA - other.image @ LUMA).mean() < 2


def test_any_reader_of_parquet_sees_what_is_in_it(videos: Path, tmp_path: Path) -> None:
    prepare(str(videos), tmp_path / "cache", settings=EXACT)
    (row,) = pyarrow.parquet.read_table(tmp_path / "cache" / "shards" / "000000.parquet").slice(0, 1).to_pylist()
    streams = Video(videos / "a.mp4").decompose(**READING)
    past = maps(streams, "past")
    np.testing.assert_array_equal(np.frombuffer(row["past"], np.float16).reshape(past.shape), past.astype(np.float16))
    picture = cv2.imdecode(np.frombuffer(row["anchor_pictures"][1], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(picture[:, :, ::-1], streams.anchors[1].image)


def test_a_video_is_found_by_name_by_hash_and_by_file(videos: Path, tmp_path: Path, encode_clip: Encode) -> None:
    prepare(str(videos), tmp_path / "cache", settings=CacheSettings(**READING))
    cache = StreamCache(tmp_path / "cache")
    key = cache.find("b.avi")
    assert key is not None
    assert key in cache
    assert cache.find(key.partition("-")[0]) == cache.find(videos / "b.avi") == key
    assert cache.find("z.avi") is None
    assert cache.find(encode_clip("other.mp4", num_frames=5)) is None
    with pytest.raises(HimmelError, match="holds no video"):
        cache.read("0" * 64)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_other_processes_read_with_files_of_their_own(videos: Path, tmp_path: Path, method: str) -> None:
    prepare(str(videos), tmp_path / "cache", settings=CacheSettings(**READING), shard_videos=2)
    cache = StreamCache(tmp_path / "cache")
    wanted = [anchor_frames(cache, key) for key in list(cache.keys())]
    assert pickle.loads(pickle.dumps(cache)).settings == cache.settings
    with ProcessPoolExecutor(2, get_context(method)) as pool:
        found = list(pool.map(anchor_frames, [cache] * len(cache), cache.keys()))
    assert found == wanted


def test_a_changed_byte_is_met_when_it_is_read(videos: Path, tmp_path: Path) -> None:
    prepare(str(videos), tmp_path / "cache", settings=CacheSettings(**READING))
    shard = tmp_path / "cache" / "shards" / "000000.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    cache = StreamCache(tmp_path / "cache")
    keys = list(cache.keys())
    with pytest.raises(HimmelError, match="is damaged"):
        [cache.read(key) for key in keys]


def test_settings_name_videos_and_each_of_them_counts() -> None:
    plain = CacheSettings()
    other = {
        "num_anchors": 9,
        "anchor_mode": "exact",
        "steps_per_interval": 3,
        "cell": 8,
        "backend": "libav",
        "max_anchor_pixels": 1000,
        "accumulate": True,
        "rgb_difference": True,
        "sound": True,
        "last_picture": False,
        "maps": "float16",
        "pictures": "png",
        "quality": 94,
        "engine": not plain.engine,
    }
    assert set(other) == {field.name for field in fields(CacheSettings)}
    marks = {replace(plain, **{name: value}).mark for name, value in other.items()}
    assert len(marks | {plain.mark}) == len(other) + 1
    assert plain.key("ab") == f"ab-{plain.mark}"
    with pytest.raises(UsageError, match="num_anchors=0"):
        CacheSettings(num_anchors=0)


def test_what_is_no_cache_is_refused(tmp_path: Path, videos: Path) -> None:
    with pytest.raises(UsageError, match="holds no cache"):
        StreamCache(tmp_path)
    prepare(str(videos), tmp_path / "cache", settings=CacheSettings(**READING))
    about = tmp_path / "cache" / "cache.json"
    whole = about.read_text()
    about.write_text(whole.replace("jpeg", "jpig"))
    with pytest.raises(HimmelError, match="damaged"):
        StreamCache(tmp_path / "cache")
    assert f'"version": {VERSION}' in whole


def test_why_a_video_is_missing_is_known_until_it_is_read(
    videos: Path, tmp_path: Path, encode_clip: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = videos / "bad.mp4"
    bad.write_bytes(b"no video")
    prepare(str(videos), tmp_path / "cache", settings=EXACT)
    cache = StreamCache(tmp_path / "cache")
    assert "cannot be read as a video" in str(cache.failure("bad.mp4"))
    assert cache.failure(bad) == cache.failure("bad.mp4")
    # Training asks in each pass, and the file may be large.
    with monkeypatch.context() as patched:
        patched.setattr("himmel.data.cache.store.hash_file", None)
        assert (cache.find("bad.mp4"), cache.find(bad)) == (None, None)
    assert (cache.failure("a.mp4"), cache.failure("gone.mp4")) == (None, None)
    encode_clip("videos/bad.mp4")
    prepare(str(videos), tmp_path / "cache", settings=EXACT)
    assert StreamCache(tmp_path / "cache").failure("bad.mp4") is None


def test_what_was_read_before_a_file_broke_is_not_taken_for_it(videos: Path, tmp_path: Path) -> None:
    prepare(str(videos), tmp_path / "cache", settings=EXACT)
    (videos / "a.mp4").write_bytes(b"no video any more")
    prepare(str(videos), tmp_path / "cache", settings=EXACT)
    cache = StreamCache(tmp_path / "cache")
    assert (cache.find("a.mp4"), cache.find(videos / "a.mp4")) == (None, None)
    assert "cannot be read as a video" in str(cache.failure("a.mp4"))


def test_a_video_of_one_picture_comes_back(tmp_path: Path, encode_clip: Encode) -> None:
    (tmp_path / "one").mkdir()
    encode_clip("one/a.mp4", num_frames=1)
    prepare(str(tmp_path / "one"), tmp_path / "cache", settings=EXACT)
    cache = StreamCache(tmp_path / "cache")
    found = cache.read(str(cache.find("a.mp4")))
    assert [len(interval.frames) for interval in found.intervals] == [0] * len(found.anchors)
    assert maps(found, "past").shape[0] == 0


def test_sound_is_kept_whole_and_caches_without_it_are_what_they_were(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    path = write_sound(tmp_path / "videos" / "a.mp4", swelling(2))
    with_sound = CacheSettings(**READING, sound=True)
    prepare(str(path.parent), tmp_path / "with", settings=with_sound)
    prepare(str(path.parent), tmp_path / "without", settings=CacheSettings(**READING))
    wanted = Video(path).decompose(**READING, sound=True)
    cache, plain = StreamCache(tmp_path / "with"), StreamCache(tmp_path / "without")
    found = cache.read(next(cache.keys()))
    for one, other in zip(found.intervals, wanted.intervals, strict=True):
        np.testing.assert_array_equal(one.sound, other.sound)
    assert all(interval.sound is None for interval in plain.read(next(plain.keys())).intervals)
    shards = [next((tmp_path / name / "shards").glob("*.parquet")) for name in ("with", "without")]
    columns = [pyarrow.parquet.ParquetFile(shard).schema_arrow.names for shard in shards]
    assert columns[0] == [*columns[1], "sound"]
    # The marks of settings that caches in the world have: another one would have them made again.
    assert CacheSettings(engine=True).mark == "8604880dbd53a279"
    assert with_sound.mark != CacheSettings(**READING).mark
    said = asdict(CacheSettings())
    del said["sound"]
    assert CacheSettings.from_json(said) == CacheSettings()
