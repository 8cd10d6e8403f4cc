"""Streams of many videos on disk: read once by `himmel prepare`, then by key as often as training wants them."""

from himmel.data.cache.settings import CacheSettings
from himmel.data.cache.store import StreamCache

__all__ = ["CacheSettings", "StreamCache"]
