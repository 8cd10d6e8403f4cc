"""What a host's frozen vision part makes of the pictures in a cache, so that training runs it no more.

They lie beside the shards, in a folder for each host: a file for each shard, with a row for each of its videos.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pyarrow

from himmel._files import atomic_path
from himmel.data.cache.layout import Layout, Shard
from himmel.data.cache.lines import DamagedLine, from_line, read_lines, to_line, write_through
from himmel.data.cache.records import Record
from himmel.data.cache.rows import RowReader
from himmel.data.cache.shards import DAMAGE, read_rows, write_rows
from himmel.errors import HimmelError
from himmel.video.file.source import show

Features = npt.NDArray[np.float16]
FeatureKind = Literal["pooled", "tower"]

SCHEMA: Final = pyarrow.schema(
    [("sha256", pyarrow.string()), ("shape", pyarrow.list_(pyarrow.int64())), ("values", pyarrow.binary())]
)
"""Of a file: hash of the video, shape of its features, and these in float16, little-endian."""


@dataclass(frozen=True)
class FeatureSet:
    """Whose features a folder has.

    Attributes:
        host: as it was named.
        mark: of its vision part and of the size of its pictures (`himmel.hosts.vision_mark`).
        max_anchor_tokens: most image tokens of a picture.
        kind: what is kept of each picture: "pooled", the mean of its tokens in the host's embedding space [D], which
            stage 1 aligns with; or "tower", the map [C, s, s] that a tower gives whose projector is trained here.
    """

    host: str
    mark: str
    max_anchor_tokens: int
    kind: FeatureKind

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The set that was written.

        Raises:
            KeyError, TypeError, ValueError: a field lacks, or is none.
        """
        if found["kind"] not in get_args(FeatureKind):
            raise ValueError(f"kind {found['kind']!r}")
        return cls(**found)


class FeatureStore:
    """The features of one host for the videos of a cache; it may be used in many processes, as `StreamCache` may.

    Args:
        folder: of the cache.
        about: of the host.

    Raises:
        HimmelError: its list of files is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str], about: FeatureSet) -> None:
        self._layout = Layout(Path(folder))
        self.about = about
        self.files = tuple({one.number: one for one in read_lines(self.index, Shard.from_json)}.values())
        self._places = {sha256: (one.number, row) for one in self.files for row, sha256 in enumerate(one.hashes)}
        self._rows = RowReader(self.file)

    def __reduce__(self) -> tuple[type["FeatureStore"], tuple[Path, FeatureSet]]:
        return type(self), (self._layout.folder, self.about)

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._layout.features / self.about.mark

    @property
    def index(self) -> Path:
        """The list of its files."""
        return self.folder / "files.jsonl"

    def file(self, number: int) -> Path:
        """The file for the shard of this number."""
        return self.folder / f"{number:06d}.parquet"

    def read(self, sha256: str) -> Features:
        """Features of a video's anchors and then of its last picture, if the cache has it.

        Returns:
            float16 [n, D] or [n, C, s, s], see `FeatureSet.kind`.

        Raises:
            HimmelError: there are none, or they are damaged.
        """
        if sha256 not in self._places:
            raise HimmelError(f"{show(self.folder)} has no features of the video {sha256}; prepare it with --features.")
        number, row = self._places[sha256]
        try:
            record = self._rows.read(number, row)
            if record["sha256"] != sha256:
                raise ValueError("the row is another video's")
            return np.frombuffer(record["values"], "<f2").reshape(record["shape"]).astype(np.float16)
        except DAMAGE as error:
            said = f"{show(self.file(number))} is damaged ({error})"
            raise HimmelError(f"{said}; `himmel cache verify` lists what is.") from error

    def fill(self, shard: Shard, features: Callable[[str], Features]) -> "FeatureStore":
        """Make the file for a shard, whole or not at all; returns the store with it.

        Args:
            features: of the video of a hash.

        Raises:
            HimmelError: it can't be written.
        """
        self._begin()
        records = (_record(sha256, features(sha256)) for sha256 in shard.hashes)
        size, digest = write_rows(self.file(shard.number), records, SCHEMA)
        others = [one for one in self.files if one.number != shard.number]
        return self._with([*others, Shard(shard.number, size, digest, shard.hashes, shard.seconds)])

    def rearrange(self, shards: Sequence[Shard]) -> "FeatureStore":
        """Fit the files to the shards that a cache has now; what is known of their videos is kept, nothing computed.

        Raises:
            HimmelError: a file is damaged, or can't be written.
        """
        known = {one.number: one for one in self.files}
        kept = []
        for shard in shards:
            old = known.get(shard.number)
            if old is not None and old.hashes == shard.hashes:
                kept.append(old)
            elif all(sha256 in self for sha256 in shard.hashes):
                size, digest = write_rows(self.file(shard.number), self._records(shard.hashes), SCHEMA)
                kept.append(Shard(shard.number, size, digest, shard.hashes, shard.seconds))
        found = self._with(kept)
        wanted = {self.file(one.number) for one in kept}
        for path in self.folder.glob("*.parquet"):
            if path not in wanted:
                path.unlink(missing_ok=True)
        return found

    def _records(self, hashes: Sequence[str]) -> Iterator[Record]:
        for sha256 in hashes:
            number, row = self._places[sha256]
            yield from read_rows(self.file(number), [row])

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        about = self.folder / "about.json"
        if not about.exists():
            with atomic_path(about) as temporary:
                temporary.write_text(to_line(asdict(self.about)), encoding="ascii")
                write_through(temporary)

    def _with(self, files: Sequence[Shard]) -> "FeatureStore":
        with atomic_path(self.index) as temporary:
            temporary.write_text("".join(one.to_line() for one in files), encoding="ascii")
            write_through(temporary)
        write_through(self.folder)
        return FeatureStore(self._layout.folder, self.about)


def feature_sets(folder: str | os.PathLike[str]) -> list[FeatureSet]:
    """The hosts whose features a cache has.

    Raises:
        HimmelError: what says so is damaged.
    """
    found = []
    for about in sorted(Layout(Path(folder)).features.glob("*/about.json")):
        try:
            found.append(FeatureSet.from_json(from_line(about.read_text(encoding="ascii", errors="replace"))))
        except (DamagedLine, KeyError, TypeError, ValueError, OSError) as error:
            raise HimmelError(f"{show(about)} is damaged ({error}); remove {show(about.parent)}.") from error
    return found


def _record(sha256: str, features: Features) -> Record:
    values = np.ascontiguousarray(features, "<f2")
    return {"sha256": sha256, "shape": list(values.shape), "values": values.tobytes()}
