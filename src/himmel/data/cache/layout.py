"""What lies where in a cache's folder.

cache.json          the settings, and how many videos a shard has
shards.jsonl        a line for each shard (`Shard`): its size, its hash, its videos
shards/000000.parquet, ...   see `records.SCHEMA`; each is whole or not there
features/MARK/      frozen features of a host's vision part (`features`): about.json, files.jsonl, 000000.parquet, ...
videos.jsonl        a line for each video that was tried (`videos.Prepared`)
plan.jsonl          while a run is unfinished: which videos each shard is to have
pieces/             while a run is unfinished: videos that are read and in no shard yet
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from himmel._files import atomic_path
from himmel._versions import versions
from himmel.data.cache.lines import DamagedLine, from_line, read_lines, to_line, write_through
from himmel.data.cache.settings import FORMAT, VERSION, CacheSettings
from himmel.errors import HimmelError, UsageError
from himmel.video.file.source import show


@dataclass(frozen=True)
class Layout:
    """The places in a cache."""

    folder: Path

    @property
    def about(self) -> Path:
        """Settings."""
        return self.folder / "cache.json"

    @property
    def index(self) -> Path:
        """Shards that are whole."""
        return self.folder / "shards.jsonl"

    @property
    def journal(self) -> Path:
        """Videos that were tried."""
        return self.folder / "videos.jsonl"

    @property
    def plan(self) -> Path:
        """What an unfinished run has set out to do."""
        return self.folder / "plan.jsonl"

    @property
    def shards(self) -> Path:
        """Folder of the shards."""
        return self.folder / "shards"

    @property
    def pieces(self) -> Path:
        """Folder of videos that are in no shard yet."""
        return self.folder / "pieces"

    @property
    def features(self) -> Path:
        """Folder of the hosts' features."""
        return self.folder / "features"

    def shard(self, number: int) -> Path:
        """The shard of this number."""
        return self.shards / f"{number:06d}.parquet"

    def piece(self, key: str) -> Path:
        """A video that is in no shard yet."""
        return self.pieces / f"{key}.arrow"

    def leftovers(self) -> list[Path]:
        """What killed runs were writing, by the names that `atomic_path` gives; to be asked under the cache's lock."""
        files = self.about, self.index, self.journal, self.plan
        found = [path for file in files for path in self.folder.glob(f".{file.stem}.*{file.suffix}")]
        return [*found, *self.shards.glob(".*"), *self.pieces.glob(".*")]


@dataclass(frozen=True)
class Shard:
    """A shard that is whole.

    Attributes:
        number: which.
        bytes, sha256: of its file.
        hashes: SHA-256 of its videos, in the order of its rows.
        seconds: duration of all its videos.
    """

    number: int
    bytes: int
    sha256: str
    hashes: tuple[str, ...]
    seconds: float

    def to_line(self) -> str:
        """Its line in `Layout.index`."""
        return to_line(asdict(self))

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The shard of a line.

        Raises:
            KeyError, TypeError: it lacks a field, or has another.
        """
        return cls(**found | {"hashes": tuple(found["hashes"])})


@dataclass(frozen=True)
class About:
    """What `cache.json` says.

    Attributes:
        settings: how each video is read and kept.
        shard_videos: how many videos are put into one shard.
        versions: of the packages that made the cache.
    """

    settings: CacheSettings
    shard_videos: int
    versions: dict[str, str]


def check_place(layout: Layout, settings: CacheSettings, shard_videos: int) -> About | None:
    """See that a cache may be in a folder: there is none yet, or it is empty, or holds one with the same settings.

    Returns:
        What is known of the cache; None if it is still to be made.

    Raises:
        UsageError: the folder holds something else, or a cache with other settings.
        HimmelError: it can't be read.
    """
    folder = layout.folder
    if layout.about.exists():
        found = read_about(layout)
        if found.settings != settings or found.shard_videos != shard_videos:
            raise UsageError(f"{show(folder)} was prepared with {_difference(found, settings, shard_videos)}; "
                             "use these settings, or name another folder.")  # fmt: skip
        return found
    # The lock and what a killed run was writing have names that begin with a dot; it may have come no further.
    if any(not entry.name.startswith(".") for entry in folder.glob("*")):
        raise UsageError(f"{show(folder)} holds other files; name a new folder for the cache.")
    return None


def create(layout: Layout, settings: CacheSettings, shard_videos: int) -> About:
    """Make a new cache, or see that what is there has the same settings; to be called under the cache's lock.

    Raises:
        UsageError, HimmelError: see `check_place`; or it can't be written.
    """
    found = check_place(layout, settings, shard_videos)
    if found is not None:
        return found
    about = About(settings, shard_videos, versions("pyarrow"))
    with atomic_path(layout.about) as temporary:
        temporary.write_text(
            to_line({"format": FORMAT, "version": VERSION, "mark": settings.mark, **asdict(about)}), encoding="ascii"
        )
        write_through(temporary)
    write_through(layout.folder)
    return about


def read_about(layout: Layout) -> About:
    """What kind of cache a folder holds.

    Raises:
        UsageError: it holds none, or one of another version.
        HimmelError: it can't be read, or is damaged.
    """
    try:
        found = from_line(layout.about.read_text(encoding="ascii", errors="replace"))
    except FileNotFoundError:
        raise UsageError(f"{show(layout.folder)} holds no cache of streams; `himmel prepare` makes one.") from None
    except OSError as error:
        raise HimmelError(f"{show(layout.about)} cannot be read ({error.strerror}).") from error
    except DamagedLine as error:
        raise HimmelError(f"{show(layout.about)} is damaged ({error}); bring it back from a copy.") from error
    if (found.get("format"), found.get("version")) != (FORMAT, VERSION):
        raise UsageError(
            f"{show(layout.folder)} is a cache of version {found.get('version')}, and this himmel reads version "
            f"{VERSION}; prepare its videos again, in a new folder."
        )
    return About(CacheSettings.from_json(found["settings"]), int(found["shard_videos"]), dict(found["versions"]))


def read_index(layout: Layout) -> list[Shard]:
    """The shards that are whole, in the order of their numbers.

    Raises:
        HimmelError: the index is damaged.
    """
    last = {shard.number: shard for shard in read_lines(layout.index, Shard.from_json)}
    return [last[number] for number in sorted(last)]


def write_index(layout: Layout, shards: Sequence[Shard]) -> None:
    """Write the index anew, whole or not at all."""
    with atomic_path(layout.index) as temporary:
        temporary.write_text("".join(shard.to_line() for shard in shards), encoding="ascii")
        write_through(temporary)
    write_through(layout.folder)


def _difference(found: About, settings: CacheSettings, shard_videos: int) -> str:
    have, want = asdict(found.settings), asdict(settings)
    changed = [f"{name}={have[name]!r} (now {want[name]!r})" for name in have if have[name] != want[name]]
    if found.shard_videos != shard_videos:
        changed.append(f"shard_videos={found.shard_videos} (now {shard_videos})")
    return ", ".join(changed)
