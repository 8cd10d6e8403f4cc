"""Where a sample's videos and pictures come from."""

import io
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from himmel.data.cache import StreamCache
from himmel.data.cache.features import FeatureStore
from himmel.data.samples import Medium
from himmel.data.samples.extract import ApartReader, Extraction, UnreadableError, VideoRead
from himmel.data.samples.files import read_cell
from himmel.data.subtitles import read_subtitles, spoken
from himmel.data.workers import Limits
from himmel.errors import HimmelError, RecipeError
from himmel.model.reading import Reading

_MOST_PIXELS: Final = 2**27
_MOST_BYTES: Final = 2**30
# What a cache may hold beyond what a model reads.
_EXTRAS: Final = {"rgb_difference": "RGB difference", "sound": "sound"}


class VideoReader(Protocol):
    """Gives a video as anchors and intervals."""

    def read(self, medium: Medium) -> VideoRead:
        """Read a video.

        Raises:
            UnreadableError: it can't be read.
        """
        ...


class ExtractNow:
    """Reads each video from its file whenever it is drawn.

    Args:
        options: of `Video.decompose`.
        last: whether last pictures are read too.
        limits: of one video.
    """

    def __init__(self, options: Mapping[str, Any], *, last: bool, limits: Limits) -> None:
        self._options, self._last = dict(options), last
        self._apart = ApartReader(limits)

    def read(self, medium: Medium) -> VideoRead:
        """See `VideoReader`."""
        if not Path(medium.path).is_file():
            raise UnreadableError("refused", "there is no such file")
        return self._apart.read(Extraction(medium, self._options, self._last))


class FromCache:
    """Reads videos that `himmel prepare` has read.

    Args:
        cache: holds them.
        reading: what the model wants.
        folder: where the paths of videos begin; the cache may know them by what comes after it.
        last: whether last pictures are read too.
        features: of the host that learns, for all videos of the cache.

    Raises:
        RecipeError: the cache was prepared in another way.
    """

    def __init__(
        self, cache: StreamCache, reading: Reading, *, folder: Path, last: bool, features: FeatureStore | None = None
    ) -> None:
        kept = asdict(cache.settings)
        for name, wanted in asdict(reading).items():
            if name in _EXTRAS and wanted and not kept[name]:
                raise RecipeError(
                    f"The recipe's model reads the {_EXTRAS[name]}, and the cache was prepared without it; prepare the "
                    f"videos once more, with --{name.replace('_', '-')}."
                )
            if name not in _EXTRAS and kept[name] != wanted:
                raise RecipeError(
                    f"The cache was prepared with {name} = {kept[name]!r} and the recipe's model wants {wanted!r}; "
                    f"set model.{name}, or prepare the videos once more."
                )
        self._cache, self._folder, self._last, self._features = cache, folder, last, features
        # Of videos that the cache knows by their bytes alone.
        self._hashed: dict[str, str] = {}

    def read(self, medium: Medium) -> VideoRead:
        """See `VideoReader`."""
        if medium.start is not None or medium.end is not None:
            raise UnreadableError("refused", "a part of it is asked for, and caches hold whole videos")
        path = Path(medium.path)
        names = [str(path)]
        if path.is_relative_to(self._folder):
            names.append(path.relative_to(self._folder).as_posix())
        try:
            key = next(filter(None, map(self._cache.find_by_name, names)), None) or self._find_by_bytes(path)
            if key is None:
                why = next(filter(None, map(self._cache.failure, names)), None)
                raise UnreadableError("refused", why or "the cache does not hold it; prepare it with `himmel prepare`")
            found = self._cache.read(key)
            features = None if self._features is None else self._features.read(str(found.sha256))
            return VideoRead(found, self._cache.last_picture(key) if self._last else None, features)
        except (HimmelError, OSError) as error:
            raise UnreadableError("refused", str(error)) from error

    def _find_by_bytes(self, path: Path) -> str | None:
        """Reads the whole file, so it is done once."""
        name = str(path)
        if name not in self._hashed and (key := self._cache.find(path)) is not None:
            self._hashed[name] = key
        return self._hashed.get(name)


def read_picture(medium: Medium) -> npt.NDArray[np.uint8]:
    """A picture, uint8 [H, W, 3].

    Raises:
        UnreadableError: it can't be read, or has more than 134 million pixels.
    """
    try:
        with Image.open(io.BytesIO(_picture_bytes(medium))) as image:
            width, height = image.size
            if not 0 < width * height <= _MOST_PIXELS:
                raise UnreadableError("picture", f"it has {width} x {height} pixels")
            return np.asarray(image.convert("RGB"), np.uint8)
    except UnreadableError:
        raise
    except Exception as error:
        # About files that they can't read, Pillow and pyarrow raise errors of almost every kind.
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError("picture", said) from error


def _picture_bytes(medium: Medium) -> bytes:
    path = Path(medium.path)
    # A pipe would be waited for without end.
    if not path.is_file():
        raise UnreadableError("picture", "there is no such file")
    if medium.cell is None:
        if path.stat().st_size > _MOST_BYTES:
            raise UnreadableError("picture", f"it has more than {_MOST_BYTES >> 20} MB")
        return path.read_bytes()
    found = read_cell(path, medium.cell)
    if not found:
        raise UnreadableError("picture", "there is no picture in its place")
    return found


def read_words(path: str, medium: Medium) -> str:
    """What a subtitle file says in the part of the video that is meant.

    Raises:
        UnreadableError: the file can't be read.
    """
    if not Path(path).is_file():
        raise UnreadableError("subtitles", "there is no such file", what=path)
    try:
        end = math.inf if medium.end is None else medium.end
        return spoken(read_subtitles(Path(path)), begin=medium.start or 0.0, end=end)
    except HimmelError as error:
        raise UnreadableError("subtitles", str(error), what=path) from error


def without_end(read: VideoRead) -> VideoRead:
    """For stage 1, where a video's last picture is not known: its last interval is left out, and ends at its anchor.

    Raises:
        UnreadableError: nothing is left.
    """
    found = read.decomposition
    if read.last is not None:
        return read
    if len(found.anchors) < 2:
        raise UnreadableError("refused", "it has a single anchor, and its last picture is not known")
    shorter = replace(found, anchors=found.anchors[:-1], intervals=found.intervals[:-1])
    # The features' last row is the last anchor's now, which is what ends the last interval that is left.
    return VideoRead(shorter, found.anchors[-1].image, read.features)
