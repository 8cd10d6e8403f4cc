"""Everything that decides what a cache holds of a video, and the name that follows from it."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self, get_args

from himmel._checks import check_choice, check_whole
from himmel._versions import engine_version
from himmel.choices import AnchorMode, Backend, Cell, MapPrecision, PictureFormat
from himmel.errors import UsageError
from himmel.video.arguments import MAX_COUNT

FORMAT: Final = "himmel streams"
VERSION: Final = 1
"""Raised whenever the same settings give other bytes, so that an old cache is not taken for a new one."""
_MARK: Final = 16


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """How each video is read and kept; the first nine are arguments of `Video.decompose`.

    Attributes:
        last_picture: also keep the video's last picture, which stage 1 takes as the end of the last interval
            (docs/method.md, equation 5). It costs the decoding of all pictures since the last keyframe.
        maps: "int8" (see `quantise.to_int8` for the error) or "float16" (relative error at most 2^-11).
        pictures: how anchors are kept: "jpeg" or "png", which loses nothing.
        quality: of JPEG, 1 to 100.
        engine: whether himmel's own engine read H.264; without it, "auto" takes another backend and other maps.

    Raises:
        UsageError: a value is not possible.
    """

    num_anchors: int = 8
    anchor_mode: AnchorMode = "keyframe"
    steps_per_interval: int = 16
    cell: Cell | None = None
    backend: Backend = "auto"
    max_anchor_pixels: int | None = None
    accumulate: bool = False
    rgb_difference: bool = False
    sound: bool = False
    last_picture: bool = True
    maps: MapPrecision = "int8"
    pictures: PictureFormat = "jpeg"
    quality: int = 95
    engine: bool = engine_version() is not None

    def __post_init__(self) -> None:
        check_whole("num_anchors", self.num_anchors, 1, MAX_COUNT)
        check_whole("steps_per_interval", self.steps_per_interval, 1, MAX_COUNT)
        check_whole("quality", self.quality, 1, 100)
        if self.max_anchor_pixels is not None:
            check_whole("max_anchor_pixels", self.max_anchor_pixels, 1, 2**30)
        if self.cell is not None:
            check_choice("cell", self.cell, get_args(Cell))
        for name, value, choices in (
            ("anchor_mode", self.anchor_mode, AnchorMode),
            ("backend", self.backend, Backend),
            ("maps", self.maps, MapPrecision),
            ("pictures", self.pictures, PictureFormat),
        ):
            check_choice(name, value, get_args(choices))

    @property
    def mark(self) -> str:
        """16 hexadecimal digits that differ for other settings and for another version of the format."""
        whole = {"format": FORMAT, "version": VERSION, **asdict(self)}
        if self.pictures == "png":
            # Nothing depends on it.
            del whole["quality"]
        if not self.sound:
            # Caches of versions that knew of no sound keep their marks.
            del whole["sound"]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:_MARK]

    def key(self, sha256: str) -> str:
        """What a video of this hash is called in a cache of these settings."""
        return f"{sha256}-{self.mark}"

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """The settings that `dataclasses.asdict` took apart.

        Raises:
            UsageError: there is a field too many or too few, or a value is not possible.
        """
        # Caches of versions that knew of no sound don't mention it.
        found = {"sound": False, **found}
        names = {item.name for item in fields(cls)}
        if set(found) != names:
            odd = ", ".join(sorted(names ^ set(found)))
            raise UsageError(f"The settings of a cache differ in {odd}; it was made by another version of himmel.")
        return cls(**found)
