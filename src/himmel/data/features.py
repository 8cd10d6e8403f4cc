"""A host's frozen features of a cache's pictures, made once; the one module of this package that runs a network."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from himmel._lock import alone_in
from himmel._progress import track
from himmel.data.cache.features import Features, FeatureSet, FeatureStore
from himmel.data.cache.layout import Layout, read_about
from himmel.data.cache.quantise import to_half
from himmel.data.cache.shards import is_there
from himmel.data.cache.store import StreamCache
from himmel.hosts import Host, Loading, load_host, vision_mark
from himmel.model.targets import pooled_features


@dataclass(frozen=True)
class FeatureSummary:
    """What a cache has of one host.

    Attributes:
        about: the host.
        videos: how many of the cache's; all of them.
        made: of these, by this run.
        bytes: on disk.
    """

    about: FeatureSet
    videos: int
    made: int
    bytes: int

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        return (
            f"Features of {self.about.host} ({self.about.kind}) for {self.videos:,} videos, {self.made:,} made now; "
            f"{self.bytes / 1e6:,.1f} MB."
        )


def add_features(
    folder: str | os.PathLike[str], *, host: str, max_anchor_tokens: int = 256, device: str | None = None
) -> FeatureSummary:
    """Have a host look at the pictures of a cache; videos that it has seen are left alone, so a run may be stopped.

    Args:
        folder: of the cache.
        host: name or folder.
        max_anchor_tokens: most image tokens of a picture, as in the recipe that will read the cache.
        device: of the host; None: a GPU if there is one.

    Raises:
        UsageError: there is no cache, or the host takes no pictures that small.
        HostError: there is no such host.
        HimmelError: the cache is damaged or can't be written, or another process is writing to it.
    """
    read_about(Layout(Path(folder)))
    found = load_host(host, max_anchor_tokens=max_anchor_tokens)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    network = found.load_network(Loading(device=place, vision_alone=True))
    about = FeatureSet(
        host=host,
        mark=vision_mark(found, network, max_anchor_tokens=max_anchor_tokens),
        max_anchor_tokens=max_anchor_tokens,
        kind="pooled" if found.tower_map is None else "tower",
    )
    with alone_in(Path(folder), what="cache"):
        cache = StreamCache(folder)
        store = FeatureStore(folder, about)
        for left in store.folder.glob(".*"):
            left.unlink(missing_ok=True)
        there = {one.number: one.hashes for one in store.files if is_there(store.file(one.number), one)}
        missing = [shard for shard in cache.shards if there.get(shard.number) != shard.hashes]
        for shard in track(missing, what=f"Looking with {host}", total=len(missing)):
            store = store.fill(shard, lambda sha256: _look(found, network, cache, sha256))
    return FeatureSummary(
        about=about,
        videos=len(store),
        made=sum(len(shard.hashes) for shard in missing),
        bytes=sum(one.bytes for one in store.files),
    )


def _look(host: Host, network: PreTrainedModel, cache: StreamCache, sha256: str) -> Features:
    images = host.prepare_images(cache.pictures(cache.settings.key(sha256)))
    if host.tower_map is not None:
        kept = host.keep_features(network, images)
        (features,) = kept.values()
        return to_half(features.float().numpy())
    return to_half(pooled_features(host, network, [images]).cpu().numpy())
