"""Formats to keep many videos' streams in: size, and how fast one video is read at random and in order.

    python -m benchmarks.cache_formats [--videos 32] [--rounds 3] [--json]

The videos are stretches of himmel's sample clips (got on first use), extracted with the settings of `himmel prepare`:
real vectors, residuals and pictures. All formats but `npz` hold the same bytes, maps in int8 by the square law and
pictures as JPEG, compressed by zstd at level 3:

    parquet     what `himmel prepare` writes: a row group a video, with a sum over each page
    arrow       Arrow IPC, a record batch a video
    tar         WebDataset: members KEY.json, KEY.maps.zst and KEY.N.jpg, found by an index of offsets
    lance       Lance, a row a video (`pip install -e ".[bench]"`; left out where that is missing)
    npz         what `himmel streams` writes: a file a video, float32 maps and raw pictures, deflate
    extract     nothing kept: each video read anew

Reading includes the maps as float32 and the decoded pictures, as training wants them, in one process. Files are dropped
from the system's cache before each pass where it allows that, so that the disk counts.

`himmel prepare` writes Parquet because it alone of these has sums that find damage while it is read, and because
DuckDB, Spark, pandas and the hub's viewer read it without this package. The figures of a run confirm or refute that.
"""

import argparse
import io
import json
import os
import random
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow
import pyarrow.parquet

from benchmarks.process import warn_if_busy
from himmel.choices import SampleClip
from himmel.data.cache import CacheSettings
from himmel.data.cache.layout import Layout
from himmel.data.cache.records import SCHEMA, SHARES, SIGNED, Record, from_record, to_record
from himmel.data.cache.shards import open_shard, read_row, write_piece, write_shard
from himmel.nano.assets import get_sample_clip
from himmel.video import Video
from himmel.video.export import save_streams

SETTINGS = CacheSettings()
MAPS = (*SIGNED, *SHARES)
Read = Callable[[int], object]


@dataclass(frozen=True)
class Stretch:
    """A video: a clip from `start` to `end`, in seconds."""

    clip: Path
    start: float
    end: float

    def open(self) -> Video:
        """The stretch as a video of its own."""
        return Video(self.clip).between(self.start, self.end)


@dataclass(frozen=True)
class Row:
    """One format: MB of all videos, and videos read a second."""

    name: str
    mb: float
    random: float
    in_order: float


def stretches(count: int) -> list[Stretch]:
    """So many different stretches of two seconds and more."""
    draw = random.Random(0)
    clips = [get_sample_clip(name) for name in get_args(SampleClip)]
    durations = [Video(clip).duration for clip in clips]
    found = []
    for number in range(count):
        clip, duration = clips[number % len(clips)], durations[number % len(clips)]
        length = draw.uniform(2.0, duration)
        start = draw.uniform(0.0, duration - length)
        found.append(Stretch(clip, start, start + length))
    return found


def records(videos: list[Stretch]) -> Iterator[Record]:
    """Their rows, without last pictures."""
    for number, video in enumerate(videos):
        streams = video.open().decompose(threads=1)
        yield to_record(streams, SETTINGS, sha256=f"{number:064x}", last=None) | {"name": str(number)}


def with_parquet(rows: list[Record], folder: Path) -> Read:
    """Shards as `himmel prepare` makes them."""
    layout = Layout(folder)
    layout.pieces.mkdir()
    layout.shards.mkdir()
    for row in rows:
        write_piece(layout.piece(row["key"]), row)
    write_shard(layout, 0, [(row["key"], row["name"]) for row in rows])
    for row in rows:
        layout.piece(row["key"]).unlink()
    shard = open_shard(layout.shard(0))
    return lambda number: from_record(read_row(shard, number), SETTINGS, path="")


def with_arrow(rows: list[Record], folder: Path) -> Read:
    """One Arrow file whose buffers are compressed."""
    path = folder / "videos.arrow"
    options = pyarrow.ipc.IpcWriteOptions(compression=pyarrow.Codec("zstd", 3))
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, SCHEMA, options=options) as writer:
        for row in rows:
            writer.write_table(pyarrow.Table.from_pylist([row], schema=SCHEMA))
    reader = pyarrow.ipc.open_file(pyarrow.OSFile(str(path), "rb"))

    def read(number: int) -> object:
        (row,) = reader.get_batch(number).to_pylist()
        return from_record(row, SETTINGS, path="")

    return read


def with_tar(rows: list[Record], folder: Path) -> Read:
    """One archive, and an index of where each member lies."""
    path, codec = folder / "videos.tar", pyarrow.Codec("zstd", 3)
    places: list[dict[str, tuple[int, int]]] = []
    with tarfile.open(path, "w") as archive:
        for number, row in enumerate(rows):
            small = {name: row[name] for name in SCHEMA.names if name not in (*MAPS, "anchor_pictures")}
            sizes = {name: 0 if row[name] is None else len(row[name]) for name in MAPS}
            maps = b"".join(row[name] or b"" for name in MAPS)
            members = {
                "json": json.dumps(small | {"sizes": sizes}).encode(),
                "maps.zst": codec.compress(maps).to_pybytes(),
            }
            members |= {f"{place}.jpg": picture for place, picture in enumerate(row["anchor_pictures"])}
            for name, data in members.items():
                member = tarfile.TarInfo(f"{number:06d}.{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    with tarfile.open(path) as archive:
        for member in archive:
            number, _, name = member.name.partition(".")
            if int(number) == len(places):
                places.append({})
            places[int(number)][name] = member.offset_data, member.size
    file = path.open("rb")

    def read(number: int) -> object:
        data = {}
        for name, (offset, size) in places[number].items():
            file.seek(offset)
            data[name] = file.read(size)
        row = json.loads(data["json"])
        sizes = row.pop("sizes")
        maps = codec.decompress(data["maps.zst"], sum(sizes.values())).to_pybytes()
        begin = 0
        for name in MAPS:
            row[name] = maps[begin : begin + sizes[name]] or None
            begin += sizes[name]
        row["anchor_pictures"] = [data[f"{place}.jpg"] for place in range(len(data) - 2)]
        return from_record(row, SETTINGS, path="")

    return read


def with_lance(rows: list[Record], folder: Path) -> Read:
    """A Lance data set."""
    import lance

    fields = [
        pyarrow.field(one.name, one.type, metadata={"lance-encoding:compression": "zstd"} if one.name in MAPS else None)
        for one in SCHEMA
    ]
    place = str(folder / "videos.lance")
    found = lance.write_dataset(pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(fields)), place)

    def read(number: int) -> object:
        (row,) = found.take([number]).to_pylist()
        return from_record(row, SETTINGS, path="")

    return read


def with_npz(videos: list[Stretch], folder: Path) -> Read:
    """A file a video, as `himmel streams` writes it."""
    for number, video in enumerate(videos):
        save_streams(video.open().decompose(threads=1), folder / f"{number}.npz")

    def read(number: int) -> object:
        with np.load(folder / f"{number}.npz", allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    return read


def measure(name: str, folder: Path, read: Read, count: int, rounds: int) -> Row:
    """The best of some rounds in either order."""
    shuffled = random.Random(1).sample(range(count), count)
    best = {"random": 0.0, "in_order": 0.0}
    for _ in range(rounds):
        for order, numbers in (("random", shuffled), ("in_order", list(range(count)))):
            forget(folder)
            begin = time.perf_counter()
            for number in numbers:
                read(number)
            best[order] = max(best[order], count / (time.perf_counter() - begin))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Row(name, size / 1e6, best["random"], best["in_order"])


def forget(folder: Path) -> None:
    """Have the system drop these files from memory, where it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(count: int, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """All formats on the same videos, and what is in them."""
    videos = stretches(count)
    rows = list(records(videos))
    raw = sum(len(row[name]) for row in rows for name in MAPS if row[name] is not None)
    pictures = sum(len(picture) for row in rows for picture in row["anchor_pictures"])
    hours = sum(video.end - video.start for video in videos) / 3600
    about = {"videos": count, "hours": hours, "maps_mb": raw / 1e6, "pictures_mb": pictures / 1e6}
    makers = {"parquet": with_parquet, "arrow": with_arrow, "tar": with_tar, "lance": with_lance}
    found = []
    with tempfile.TemporaryDirectory(prefix="himmel-formats-") as scratch:
        for name, make in makers.items():
            folder = Path(scratch, name)
            folder.mkdir()
            try:
                read = make(rows, folder)
            except ModuleNotFoundError as error:
                print(f"{name} is left out: {error}")
                continue
            found.append(measure(name, folder, read, count, rounds))
        folder = Path(scratch, "npz")
        folder.mkdir()
        found.append(measure("npz", folder, with_npz(videos, folder), count, rounds))
        found.append(
            measure("extract", Path(scratch), lambda number: videos[number].open().decompose(threads=1), count, 1)
        )
    return [*found[:-1], Row("extract", 0.0, found[-1].random, found[-1].in_order)], about


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load = warn_if_busy()
    rows, about = run(options.videos, options.rounds)
    if options.json:
        print(json.dumps({**about, "load": load, "formats": [asdict(row) for row in rows]}, indent=1))
        return
    print(f"{about['videos']} videos, {about['hours']:.3f} h; {about['maps_mb']:.0f} MB of maps in int8, "
          f"{about['pictures_mb']:.0f} MB of pictures")  # fmt: skip
    print(f"{'format':10} {'MB':>8} {'random/s':>10} {'in order/s':>10}")
    for row in rows:
        print(f"{row.name:10} {row.mb:8.1f} {row.random:10.1f} {row.in_order:10.1f}")


if __name__ == "__main__":
    main()
