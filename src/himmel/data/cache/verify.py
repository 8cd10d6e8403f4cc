"""Whether a cache is what was written, byte by byte."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from himmel._progress import track
from himmel.data.cache.features import FeatureStore, feature_sets
from himmel.data.cache.layout import Layout, Shard, read_about, read_index
from himmel.data.cache.lines import read_lines
from himmel.data.cache.records import from_file, from_record
from himmel.data.cache.settings import CacheSettings
from himmel.data.cache.shards import DAMAGE, hash_file, open_shard, read_row
from himmel.data.cache.videos import Prepared
from himmel.errors import HimmelError


@dataclass(frozen=True)
class Damage:
    """Something that is not as it was written.

    Attributes:
        file: in the cache's folder.
        said: what is wrong, in a clause.
        names: of the videos that it concerns, or their hashes where the journal is damaged; empty if that isn't known.
    """

    file: str
    said: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verified:
    """What was compared.

    Attributes:
        files, bytes: how much was read.
        damage: what is wrong; empty if nothing is.
    """

    files: int
    bytes: int
    damage: tuple[Damage, ...]


def verify_cache(folder: Path, *, decode: bool = False) -> Verified:
    """Read every byte of a cache and compare it with the sums that were written; one changed bit is found.

    A line that is missing from the journal concerns no video of the cache and is not found. Videos that an unfinished
    run has read and put into no shard yet are not looked at.

    Args:
        decode: also make every video's maps and pictures, as training does.

    Raises:
        UsageError: there is no cache, or one of another version.
    """
    layout = Layout(folder)
    damage: list[Damage] = []
    settings: CacheSettings | None = None
    shards: list[Shard] = []
    names: dict[str, str] = {}
    last: dict[str, Prepared] = {}
    waiting: set[str] = set()
    size = 0
    # A run that goes on meanwhile notes a video, puts it into a shard and then removes its piece, so they are read so.
    for file in (layout.about, layout.journal, layout.index):
        size += file.stat().st_size if file.is_file() else 0
        try:
            if file == layout.about:
                settings = read_about(layout).settings
            elif file == layout.index:
                _check_end(file)
                waiting = _in_pieces(layout)
                shards = read_index(layout)
            else:
                _check_end(file)
                for one in read_lines(file, Prepared.from_json):
                    last[one.name] = one
                    if one.sha256 is not None:
                        names[one.sha256] = one.name
        except HimmelError as error:
            if error.exit_code == 2:
                raise
            damage.append(Damage(file.name, str(error)))
    for shard in track(shards, what="Verifying shards", total=len(shards)):
        path = layout.shard(shard.number)
        said = _compare(path, shard)
        if said is None and decode and settings is not None:
            said = _decode(path, shard, settings)
        size += shard.bytes
        if said is not None:
            damage.append(_damage(path.relative_to(folder).as_posix(), said, shard, names))
    damage.extend(_lost(last.values(), shards, waiting=waiting))
    files = len(shards) + 3
    for count, extent, found in _verify_features(folder, names):
        files, size = files + count, size + extent
        damage.extend(found)
    return Verified(files, size, tuple(damage))


def _verify_features(folder: Path, names: dict[str, str]) -> Iterator[tuple[int, int, list[Damage]]]:
    """Files, bytes and damage of each host's features."""
    try:
        sets = feature_sets(folder)
    except HimmelError as error:
        yield 1, 0, [Damage("features", str(error))]
        return
    for about in sets:
        damage: list[Damage] = []
        files: tuple[Shard, ...] = ()
        try:
            store = FeatureStore(folder, about)
            _check_end(store.index)
            files = store.files
        except HimmelError as error:
            damage.append(Damage(f"features/{about.mark}", str(error)))
        for one in track(files, what=f"Verifying features of {about.host}", total=len(files)):
            said = _compare(store.file(one.number), one)
            if said is not None:
                place = store.file(one.number).relative_to(folder).as_posix()
                damage.append(_damage(place, said, one, names))
        yield len(files) + 2, sum(one.bytes for one in files), damage


def _damage(place: str, said: str, shard: Shard, names: dict[str, str]) -> Damage:
    return Damage(place, said, tuple(names.get(sha256, sha256) for sha256 in shard.hashes))


def _check_end(file: Path) -> None:
    """Refuse a file of lines that doesn't end with one.

    Raises:
        HimmelError: its last line is cut off.
    """
    data = file.read_bytes() if file.is_file() else b""
    if data and not data.endswith(b"\n"):
        raise HimmelError(f"The last line of {str(file)!r} is cut off; run `himmel prepare` again.")


def _compare(path: Path, shard: Shard) -> str | None:
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            return f"it has {size:,} bytes in place of {shard.bytes:,}"
        return None if hash_file(path) == shard.sha256 else "its bytes have changed"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def _decode(path: Path, shard: Shard, settings: CacheSettings) -> str | None:
    try:
        with open_shard(path) as opened:
            for row, sha256 in enumerate(shard.hashes):
                record = read_row(opened, row)
                if record["key"] != settings.key(sha256):
                    return f"row {row} is another video"
                from_record(record, settings, path="")
                if record["last_picture"] is not None:
                    from_file(record["last_picture"])
    except DAMAGE as error:
        return f"it cannot be decoded ({error})"
    return None


def _in_pieces(layout: Layout) -> set[str]:
    """Hashes of the videos that are in no shard yet."""
    return {path.stem.partition("-")[0] for path in layout.pieces.glob("[0-9a-f]*.arrow")}


def _lost(last: Iterable[Prepared], shards: list[Shard], *, waiting: set[str]) -> Iterator[Damage]:
    """Videos that were read, as they are now, and are in no shard."""
    there = waiting.union(*(shard.hashes for shard in shards))
    lost = tuple(one.name for one in last if one.sha256 is not None and one.sha256 not in there)
    if lost:
        yield Damage("shards.jsonl", "videos that were read are missing; run `himmel prepare` again", lost)
