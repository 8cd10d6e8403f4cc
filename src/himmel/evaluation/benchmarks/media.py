"""Where a benchmark's media are, and the pictures of a folder in time order."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from himmel.errors import HimmelError
from himmel.evaluation.items import Item

_PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp")
# An hour at three pictures a second is 10,800.
_MOST_PICTURES: Final = 1_000_000
# Bytes that file systems take in one part of a path, and more than any released name has in all.
_LONGEST_PART: Final = 255
_LONGEST: Final = 2048


def below(data: Path, name: str) -> Path:
    """The file `name` in the folder `data`.

    Raises:
        HimmelError: the name leads out of the folder, or cannot be one.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    sizes = [len(part.encode(errors="surrogatepass")) for part in parts.parts]
    too_long = sum(sizes) > _LONGEST or max(sizes, default=0) > _LONGEST_PART
    leads_out = parts.is_absolute() or ".." in parts.parts
    if leads_out or too_long or "\0" in name or not parts.parts or ":" in parts.parts[0]:
        raise HimmelError(f"{name!r} is not a file below {str(data)!r}; annotations may name no other.")
    return data.joinpath(*parts.parts)


def first_there(places: Sequence[Path]) -> Path:
    """The first place that exists; the first of all if none does."""
    return next((place for place in places if place.exists()), places[0])


def with_suffixes(place: Path, suffixes: Iterable[str]) -> Path:
    """`place`, a name without suffix, with the first suffix under which a file exists, else with the first of all."""
    return first_there([place.with_name(place.name + suffix) for suffix in suffixes])


def name_below(data: Path, path: Path) -> str:
    """The path below `data`, with `/` between its parts."""
    return path.relative_to(data).as_posix()


def frame_files(item: Item) -> list[tuple[float, Path]]:
    """The pictures of a folder within the item's start and end, in time order, each with its time in seconds.

    They are ordered by the numbers in their names, so that `10.jpg` comes after `9.jpg`. The first is at 0 seconds.

    Raises:
        HimmelError: the folder has no picture in that time, or cannot be read.
    """
    if item.path is None or item.frame_rate is None:
        raise ValueError(f"Item {item.id!r} is no folder of pictures.")
    try:
        names = [path for path in item.path.iterdir() if path.suffix.lower() in _PICTURES]
    except OSError as error:
        raise HimmelError(f"Cannot read the folder {str(item.path)!r} ({error.strerror}).") from error
    if len(names) > _MOST_PICTURES:
        raise HimmelError(f"{str(item.path)!r} has more than {_MOST_PICTURES:,} pictures.")
    timed = [(index / item.frame_rate, path) for index, path in enumerate(sorted(names, key=_by_number))]
    start, end = item.start or 0.0, float("inf") if item.end is None else item.end
    chosen = [(time, path) for time, path in timed if start <= time <= end]
    if not chosen:
        raise HimmelError(f"{str(item.path)!r} has no picture between {start:g} and {end:g} seconds.")
    return chosen


def _by_number(path: Path) -> tuple[tuple[int, ...], str]:
    return tuple(int(digits) for digits in re.findall(r"\d{1,18}", path.stem, flags=re.ASCII)), path.name
