"""One video as a row of a table, and back: what `SCHEMA` says, in types that any reader of Parquet knows.

Maps are binary: their bytes one after the other in the order of `StepMaps`, for the S steps of all intervals.
"""

import json
from dataclasses import fields
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow

from himmel.choices import SOUND_SHAPE
from himmel.data.cache.quantise import from_int8, from_shares, to_half, to_int8, to_shares
from himmel.data.cache.settings import CacheSettings
from himmel.errors import HimmelError
from himmel.video.results import Anchor, Decomposition, Interval, StepMaps

Picture = npt.NDArray[np.uint8]
Record = dict[str, Any]

SIGNED: Final = {"past": 2, "future": 2, "residual": 3, "rgb_difference": 3}
"""Maps with a sign, and how many channels they have."""
SHARES: Final = ("past_valid", "future_valid", "covered")
"""Maps from 0 to 1."""
DISTANCES: Final = ("past_distance", "future_distance")
SCHEMA: Final = pyarrow.schema(
    [
        ("key", pyarrow.string()),
        ("name", pyarrow.string()),
        ("about", pyarrow.string()),
        ("anchor_frames", pyarrow.list_(pyarrow.int64())),
        ("anchor_times", pyarrow.list_(pyarrow.float64())),
        ("anchor_keyframe", pyarrow.list_(pyarrow.bool_())),
        ("anchor_reason", pyarrow.list_(pyarrow.string())),
        ("anchor_pictures", pyarrow.list_(pyarrow.binary())),
        ("last_picture", pyarrow.binary()),
        ("interval_start", pyarrow.list_(pyarrow.int64())),
        ("interval_stop", pyarrow.list_(pyarrow.int64())),
        ("step_interval", pyarrow.list_(pyarrow.int64())),
        ("step_frames", pyarrow.list_(pyarrow.int64())),
        ("step_times", pyarrow.list_(pyarrow.float64())),
        *((name, pyarrow.list_(pyarrow.float32())) for name in DISTANCES),
        *((name, pyarrow.binary()) for name in (*SIGNED, *SHARES)),
        *((f"{name}_largest", pyarrow.list_(pyarrow.float32())) for name in SIGNED),
    ]
)
"""Of a shard: key of the video (see `CacheSettings.key`), its name in the source (bytes of it that are no Unicode as
\\udc80 to \\udcff), and its streams.

`about` is JSON: the attributes of `Decomposition` that are no arrays. Pictures are JPEG or PNG files. `..._largest`
[S x C] are the scales of maps in int8; null where maps are in float16, as `rgb_difference` is where there is none and
`last_picture` where it was not wanted.
"""
WITH_SOUND: Final = SCHEMA.append(pyarrow.field("sound", pyarrow.binary()))
"""Of a shard of a cache with sound: float32 [n, 4, 32], see `Interval.sound`. Others have the bytes they always had."""
_MOST: Final = 2**31 - 1
_LEFT_OUT: Final = frozenset({"path", "sha256", "anchors", "intervals", "seconds"})


def schema_of(record: Record) -> pyarrow.Schema:
    """The columns of a row's file."""
    return WITH_SOUND if "sound" in record else SCHEMA


def to_record(streams: Decomposition, settings: CacheSettings, *, sha256: str, last: Picture | None) -> Record:
    """A row without the video's name; the same video and settings give the same row.

    Args:
        last: uint8 [H, W, 3], the video's last picture.

    Raises:
        HimmelError: a map is too large for a cell of a table.
    """
    anchors, intervals = streams.anchors, streams.intervals
    counts = [len(interval.frames) for interval in intervals]
    record: Record = dict.fromkeys(SCHEMA.names) | {
        "key": settings.key(sha256),
        "about": json.dumps(_about(streams), sort_keys=True),
        "anchor_frames": [anchor.frame for anchor in anchors],
        "anchor_times": [anchor.time for anchor in anchors],
        "anchor_keyframe": [anchor.keyframe for anchor in anchors],
        "anchor_reason": [anchor.reason for anchor in anchors],
        "anchor_pictures": [_to_file(anchor.image, settings) for anchor in anchors],
        "last_picture": None if last is None else _to_file(last, settings),
        "interval_start": [interval.start for interval in intervals],
        "interval_stop": [interval.stop for interval in intervals],
        "step_interval": np.repeat(np.arange(len(intervals)), counts).tolist(),
        "step_frames": np.concatenate([interval.frames for interval in intervals]).tolist(),
        "step_times": np.concatenate([interval.times for interval in intervals]).tolist(),
    }
    sounds = [interval.sound for interval in intervals if interval.sound is not None]
    if sounds:
        record["sound"] = np.stack(sounds).tobytes()
    for name, values in _maps(streams).items():
        if values.nbytes > 2 * _MOST:
            raise HimmelError(
                f"{sum(counts):,} steps of {streams.grid[1]} x {streams.grid[0]} cells are too many for a cache; "
                "choose fewer anchors or steps, or larger cells."
            )
        if name in DISTANCES:
            record[name] = values.tolist()
        elif settings.maps == "float16":
            record[name] = to_half(values).tobytes()
        elif name in SHARES:
            record[name] = to_shares(values).tobytes()
        else:
            stored, largest = to_int8(values)
            record[name], record[f"{name}_largest"] = stored.tobytes(), largest.ravel().tolist()
    return record


def from_record(record: Record, settings: CacheSettings, *, path: str) -> Decomposition:
    """The decomposition that became this row, as near as `settings.maps` and `settings.pictures` keep it.

    Args:
        path: what its `path` is to be; its `seconds` are empty.

    Raises:
        ValueError, KeyError, TypeError: it is no such row.
    """
    about = json.loads(record["about"])
    count, grid = len(record["step_frames"]), (int(about["grid"][0]), int(about["grid"][1]))
    maps = {name: _read_map(record, name, count, grid, settings) for name in (*SIGNED, *SHARES)}
    maps |= {name: np.array(record[name], np.float32) for name in DISTANCES}
    ends = np.cumsum(np.bincount(record["step_interval"], minlength=len(record["interval_start"]))).tolist()
    anchors = tuple(
        Anchor(frame, time, keyframe, from_file(picture), reason)
        for frame, time, keyframe, picture, reason in zip(
            *(record[f"anchor_{name}"] for name in ("frames", "times", "keyframe", "pictures", "reason")), strict=True
        )
    )
    intervals = tuple(
        _interval(record, maps, index, slice(begin, end))
        for index, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
    )
    given = about | {"grid": grid, "notes": tuple(about["notes"])}
    sha256 = str(record["key"]).partition("-")[0]
    return Decomposition(path=path, sha256=sha256, anchors=anchors, intervals=intervals, seconds={}, **given)


def from_file(picture: bytes) -> Picture:
    """The picture in a JPEG or PNG file, uint8 [H, W, 3].

    Raises:
        ValueError: it is none.
    """
    found = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if found is None:
        raise ValueError("a picture cannot be decoded")
    return np.ascontiguousarray(found[:, :, ::-1])


def _to_file(picture: Picture, settings: CacheSettings) -> bytes:
    blue_first = np.ascontiguousarray(picture[:, :, ::-1])
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality] if settings.pictures == "jpeg" else []
    written, data = cv2.imencode(f".{settings.pictures}", blue_first, options)
    if not written:
        raise HimmelError(
            f"A picture of {picture.shape[1]} x {picture.shape[0]} cannot be kept as {settings.pictures}."
        )
    return data.tobytes()


def _about(streams: Decomposition) -> dict[str, Any]:
    return {item.name: getattr(streams, item.name) for item in fields(streams) if item.name not in _LEFT_OUT}


def _maps(streams: Decomposition) -> dict[str, npt.NDArray[np.float32]]:
    """The maps of all steps one after the other, by name."""
    intervals = streams.intervals
    found = {
        item.name: np.concatenate([getattr(interval.maps, item.name) for interval in intervals])
        for item in fields(StepMaps)
    }
    differences = [interval.rgb_difference for interval in intervals if interval.rgb_difference is not None]
    if differences:
        found["rgb_difference"] = np.concatenate(differences)
    return found


def _read_map(
    record: Record, name: str, count: int, grid: tuple[int, int], settings: CacheSettings
) -> npt.NDArray[np.float32] | None:
    if record[name] is None:
        return None
    shape = (count, SIGNED[name], *grid) if name in SIGNED else (count, *grid)
    if settings.maps == "float16":
        return np.frombuffer(record[name], np.float16).reshape(shape).astype(np.float32)
    if name in SHARES:
        return from_shares(np.frombuffer(record[name], np.uint8).reshape(shape))
    largest = np.array(record[f"{name}_largest"], np.float32).reshape(shape[:2])
    return from_int8(np.frombuffer(record[name], np.int8).reshape(shape), largest)


def _interval(record: Record, maps: dict[str, Any], index: int, steps: slice) -> Interval:
    difference, sound = maps["rgb_difference"], record.get("sound")
    return Interval(
        anchor=index,
        start=record["interval_start"][index],
        stop=record["interval_stop"][index],
        frames=np.array(record["step_frames"][steps], np.int64),
        times=np.array(record["step_times"][steps], np.float64),
        maps=StepMaps(**{item.name: maps[item.name][steps] for item in fields(StepMaps)}),
        rgb_difference=None if difference is None else difference[steps],
        sound=None if sound is None else np.frombuffer(sound, np.float32).reshape(-1, *SOUND_SHAPE)[index].copy(),
    )
