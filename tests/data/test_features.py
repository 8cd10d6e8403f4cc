"""Features of a host in a cache: computed once, kept in float16, and what stage 1 computes anew."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from himmel.data.cache import CacheSettings, StreamCache
from himmel.data.cache.collect import collect
from himmel.data.cache.features import FeatureStore, feature_sets
from himmel.data.cache.listing import list_cache
from himmel.data.cache.verify import verify_cache
from himmel.data.features import add_features
from himmel.data.prepare import prepare
from himmel.errors import HimmelError
from himmel.hosts import Loading, load_host, vision_mark
from himmel.model.targets import pooled_features
from tiny_hosts import nano_folder, qwen_folder, seeing_nano, tiny_host

__all__ = ["nano_folder", "qwen_folder", "seeing_nano", "tiny_host"]

Encode = Callable[..., Path]
SETTINGS = CacheSettings(num_anchors=2, steps_per_interval=2)
TOKENS = 12


@pytest.fixture
def cache(encode_clip: Encode, tmp_path: Path) -> Path:
    """A cache of five videos in three shards."""
    (tmp_path / "videos").mkdir()
    for number in range(5):
        encode_clip(f"videos/{number}.mp4", num_frames=10 + number, options={"g": "5"})
    prepare(str(tmp_path / "videos"), tmp_path / "cache", settings=SETTINGS, shard_videos=2)
    return tmp_path / "cache"


def opened(cache: Path) -> FeatureStore:
    (about,) = feature_sets(cache)
    return FeatureStore(cache, about)


def test_pooled_features_are_those_of_the_anchors_and_the_last_picture(cache: Path, qwen_folder: str) -> None:
    found = add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS)
    assert (found.videos, found.made, found.about.kind) == (5, 5, "pooled")
    host = load_host(qwen_folder, max_anchor_tokens=TOKENS)
    network = host.load_network()
    store, streams = opened(cache), StreamCache(cache)
    for shard in streams.shards:
        for sha256 in shard.hashes:
            pictures = streams.pictures(streams.settings.key(sha256))
            assert len(pictures) == 3
            wanted = pooled_features(host, network, [host.prepare_images(pictures)]).numpy()
            stored = store.read(sha256)
            assert (stored.dtype, stored.shape) == (np.float16, (3, host.hidden_size))
            np.testing.assert_allclose(stored.astype(np.float32), wanted, rtol=2**-11, atol=2**-25)


def test_a_tower_whose_projector_is_trained_here_keeps_its_maps(cache: Path, seeing_nano: str) -> None:
    assert add_features(cache, host=seeing_nano).about.kind == "tower"
    host = load_host(seeing_nano)
    network = host.load_network()
    store, streams = opened(cache), StreamCache(cache)
    key = next(streams.keys())
    (wanted,) = host.keep_features(network, host.prepare_images(streams.pictures(key))).values()
    assert wanted.abs().max() > 0.01
    torch.testing.assert_close(torch.from_numpy(store.read(key.partition("-")[0])), wanted, rtol=0, atol=0)


def test_what_was_made_is_not_made_again_and_new_videos_are_added(
    cache: Path, qwen_folder: str, encode_clip: Encode, tmp_path: Path
) -> None:
    add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS)
    files = {path: path.read_bytes() for path in opened(cache).folder.glob("*.parquet")}
    assert add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS).made == 0
    encode_clip("videos/new.mp4", num_frames=30)
    prepare(str(tmp_path / "videos"), cache, settings=SETTINGS, shard_videos=2)
    found = add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS)
    assert (found.videos, found.made) == (6, 1)
    assert all(path.read_bytes() == data for path, data in files.items())
    # Another size of the pictures is another set.
    add_features(cache, host=qwen_folder, max_anchor_tokens=2 * TOKENS)
    assert [one.max_anchor_tokens for one in sorted(feature_sets(cache), key=lambda one: one.max_anchor_tokens)] == [
        TOKENS,
        2 * TOKENS,
    ]
    assert [(one.videos, one.kind) for one in list_cache(cache).features] == [(6, "pooled")] * 2


def test_gc_keeps_the_features_of_what_it_keeps(cache: Path, qwen_folder: str) -> None:
    add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS)
    before = opened(cache)
    kept = {sha256: before.read(sha256) for shard in StreamCache(cache).shards for sha256 in shard.hashes}
    collect(cache, keep=["1.mp4", "2.mp4", "3.mp4"])
    after, left = opened(cache), [sha256 for shard in StreamCache(cache).shards for sha256 in shard.hashes]
    assert (len(left), len(after)) == (3, 3)
    for sha256 in left:
        np.testing.assert_array_equal(after.read(sha256), kept[sha256])
    assert set(after.folder.glob("*.parquet")) == {after.file(one.number) for one in after.files}
    assert not verify_cache(cache).damage
    assert add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS).made == 0


def test_verify_finds_a_changed_byte_of_features(cache: Path, qwen_folder: str) -> None:
    add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS)
    store = opened(cache)
    for path in sorted(store.folder.iterdir()):
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            changed = bytearray(whole)
            changed[place] ^= 4
            path.write_bytes(changed)
            assert verify_cache(cache).damage, (path, place)
        path.write_bytes(whole)
    assert not verify_cache(cache).damage
    store.file(1).unlink()
    (damage,) = verify_cache(cache).damage
    assert damage.names == ("2.mp4", "3.mp4")
    assert add_features(cache, host=qwen_folder, max_anchor_tokens=TOKENS).made == 2
    assert not verify_cache(cache).damage
    with pytest.raises(HimmelError, match="has no features of the video 0000"):
        store.read("0000")


def test_the_mark_is_of_the_frozen_vision_part_alone(qwen_folder: str, nano_folder: str) -> None:
    host = load_host(qwen_folder)
    network = host.load_network()
    mark = vision_mark(host, network, max_anchor_tokens=256)
    for loading in (Loading(vision_alone=True), Loading(dtype=torch.bfloat16, vision_alone=True)):
        assert vision_mark(host, host.load_network(loading), max_anchor_tokens=256) == mark
    assert vision_mark(host, network, max_anchor_tokens=128) != mark
    decoder = network.get_decoder()
    with torch.no_grad():
        next(decoder.parameters()).add_(1)
    assert vision_mark(host, network, max_anchor_tokens=256) == mark
    frozen = {id(value) for value in decoder.parameters()}
    with torch.no_grad():
        next(value for value in network.parameters() if id(value) not in frozen).add_(1)
    assert vision_mark(host, network, max_anchor_tokens=256) != mark

    nano = load_host(nano_folder)
    small = nano.load_network()
    before = vision_mark(nano, small, max_anchor_tokens=256)
    with torch.no_grad():
        for part in nano.trained_parts(small).values():
            next(part.parameters()).add_(1)
    assert vision_mark(nano, small, max_anchor_tokens=256) == before
