"""Reading a cache: any video by its key, without the others."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from himmel.data.cache.layout import Layout, Shard, read_about, read_index
from himmel.data.cache.lines import read_lines
from himmel.data.cache.records import Record, from_file, from_record
from himmel.data.cache.rows import RowReader
from himmel.data.cache.settings import CacheSettings
from himmel.data.cache.shards import DAMAGE, hash_file
from himmel.data.cache.videos import Prepared
from himmel.errors import HimmelError
from himmel.video.file.source import show
from himmel.video.results import Decomposition

_HASH: Final = 64


class StreamCache:
    """The videos that `himmel prepare` has read.

    It may be used in any number of processes at once; copies that are sent to them, or that a fork makes, open files of
    their own.

    Args:
        folder: of the cache.

    Attributes:
        settings: how each video was read and is kept.
        shards: the files that hold the videos.

    Raises:
        UsageError: there is no cache, or one of another version.
        HimmelError: it is damaged.

    Examples:
        >>> cache = StreamCache("streams")  # doctest: +SKIP
        >>> cache.read(cache.find("bunny.mp4"))  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._layout = Layout(Path(folder))
        self.settings: CacheSettings = read_about(self._layout).settings
        self.shards: tuple[Shard, ...] = tuple(read_index(self._layout))
        self._places = {
            self.settings.key(sha256): (shard.number, row)
            for shard in self.shards
            for row, sha256 in enumerate(shard.hashes)
        }
        self._rows = RowReader(self._layout.shard)

    def __reduce__(self) -> tuple[type["StreamCache"], tuple[Path]]:
        return type(self), (self._layout.folder,)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def keys(self) -> Iterator[str]:
        """The videos, shard by shard."""
        return iter(self._places)

    def find(self, video: str | os.PathLike[str]) -> str | None:
        """The key of a video, or None if the cache does not hold it.

        Args:
            video: its SHA-256; or its name as `himmel prepare` listed it (below the folder, with slashes), or its path
                or address then; or the path of any other file, whose bytes are hashed.
        """
        found, path = self.find_by_name(video), Path(os.fspath(video))
        # What could not be read is in no cache, and may be large.
        if found is not None or self.failure(video) is not None or not path.is_file():
            return found
        key = self.settings.key(hash_file(path))
        return key if key in self._places else None

    def find_by_name(self, video: str | os.PathLike[str]) -> str | None:
        """As `find`, but no file is read: the key of a video that is known by its SHA-256, name, path or address."""
        text = os.fspath(video)
        sha256 = text if len(text) == _HASH and text.isalnum() else self._journal[0].get(text)
        if sha256 is None:
            sha256 = self._journal[0].get(os.path.abspath(text))
        key = None if sha256 is None else self.settings.key(sha256)
        return key if key in self._places else None

    def failure(self, video: str | os.PathLike[str]) -> str | None:
        """Why a video could not be read when it was last tried, in a sentence; None where it could be, or never was.

        Args:
            video: its name as `himmel prepare` listed it, or its path or address then.
        """
        text = os.fspath(video)
        failures = self._journal[1]
        return failures.get(text) or failures.get(os.path.abspath(text))

    def read(self, key: str) -> Decomposition:
        """A video as `Video.decompose` gave it, as near as the settings keep it; its `path` is its name in the source.

        Raises:
            HimmelError: there is no such video, or it is damaged.
        """
        record = self._read(key)
        try:
            return from_record(record, self.settings, path=record["name"])
        except DAMAGE as error:
            raise self._damaged(key, error) from error

    def last_picture(self, key: str) -> npt.NDArray[np.uint8] | None:
        """The last picture of a video, uint8 [H, W, 3]; None if the settings leave it out or it can't be decoded.

        Raises:
            HimmelError: there is no such video, or it is damaged.
        """
        found = self._read(key, "last_picture")["last_picture"]
        try:
            return None if found is None else from_file(found)
        except DAMAGE as error:
            raise self._damaged(key, error) from error

    def pictures(self, key: str) -> list[npt.NDArray[np.uint8]]:
        """The anchors of a video and then its last picture, if it is there, each uint8 [H, W, 3]; maps are not read.

        Raises:
            HimmelError: there is no such video, or it is damaged.
        """
        found = self._read(key, "anchor_pictures", "last_picture")
        files = [*found["anchor_pictures"], *([] if found["last_picture"] is None else [found["last_picture"]])]
        try:
            return [from_file(file) for file in files]
        except DAMAGE as error:
            raise self._damaged(key, error) from error

    def about(self, key: str) -> str:
        """The attributes of a video's decomposition that are no arrays, as JSON; nothing else is read.

        Raises:
            HimmelError: there is no such video, or it is damaged.
        """
        return str(self._read(key, "about")["about"])

    @cached_property
    def _journal(self) -> tuple[dict[str, str], dict[str, str]]:
        """Hashes of videos, and why others could not be read, by name and place; of several lines the last counts."""
        hashes: dict[str, str] = {}
        failures: dict[str, str] = {}
        for one in read_lines(self._layout.journal, Prepared.from_json):
            for called in (one.place, one.name):
                # What was read before a file changed is no longer what it holds.
                hashes.pop(called, None)
                failures.pop(called, None)
                if one.sha256 is None:
                    failures[called] = str(one.error)
                else:
                    hashes[called] = one.sha256
        return hashes, failures

    def _read(self, key: str, *columns: str) -> Record:
        if key not in self._places:
            raise HimmelError(f"{show(self._layout.folder)} holds no video {key}; prepare it with `himmel prepare`.")
        number, row = self._places[key]
        try:
            return self._rows.read(number, row, columns or None)
        except DAMAGE as error:
            raise self._damaged(key, error) from error

    def _damaged(self, key: str, error: BaseException) -> HimmelError:
        path = self._layout.shard(self._places[key][0])
        said = " ".join(str(error).split()) or type(error).__name__
        return HimmelError(f"{show(path)} is damaged ({said}); `himmel cache verify` lists what is.")
