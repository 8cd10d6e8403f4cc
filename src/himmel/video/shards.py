"""Every picture of a video in a folder of NumPy archives of bounded size; writing can be continued after a stop."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from himmel._checks import check_choice, check_whole
from himmel._files import atomic_path
from himmel.choices import Backend, Cell, Every
from himmel.errors import HimmelError, UsageError
from himmel.video.full_rate import FullRate
from himmel.video.results import CodedPicture, Picture, PictureVectors
from himmel.video.video import Video

# Arrays in one archive, before they are compressed.
SHARD_BYTES = 2**26
ABOUT = "about.json"

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Saved:
    """What `save_every` wrote.

    Attributes:
        shards: archives in the folder, in order.
        num_pictures: how many were read by this call.
        about: what `about.json` says.
    """

    shards: tuple[Path, ...]
    num_pictures: int
    about: dict[str, Any]


def save_every(
    video: Video,
    folder: str | os.PathLike[str],
    *,
    what: Every = "maps",
    cell: Cell | None = None,
    backend: Backend = "auto",
    shard_bytes: int = SHARD_BYTES,
) -> Saved:
    """Write every picture's maps, or vectors, to a folder; pictures that it holds already are not read again.

    The folder holds `about.json` (the video, its hash and the settings) and archives named by their first picture, such
    as `000001024.npz`. Each is whole or not there. An archive of N pictures with V vectors holds

        frames int64 [N], times float64 [N] in seconds, types str [N] ("I", "P", "B" or "?"), keyframe bool [N],
        bits int64 [N], quantiser float32 [N] (NaN where it isn't known), damaged bool [N] (see `CodedPicture`); and
        of "maps": num_vectors int64 [N], past and future float32 [N, 2, R, C] in luma pixels, past_valid, future_valid
        and covered float32 [N, R, C] from 0 to 1, past_distance and future_distance float32 [N] in frame intervals,
        residual float32 [N, 3, R, C] in 8-bit code values;
        of "vectors": vectors `VECTOR` [V] of one picture after the other, num_vectors int64 [N].

    Args:
        folder: is made if it is not there; one that holds another video's pictures, or with other settings, is refused.
        what, cell, backend: see `Video.pictures` and `Video.vectors`.
        shard_bytes: most bytes of arrays in an archive, unless a single picture has more.

    Raises:
        UsageError: the folder holds something else.
        HimmelError: it can't be written, or its last archive is damaged.
    """
    check_choice("what", what, get_args(Every))
    check_whole("shard_bytes", shard_bytes, 1, 2**40)
    target = Path(folder)
    first = _open(video, what, cell, backend, 0)
    about = {
        "video": video.path.name,
        "sha256": video.sha256,
        "codec": video.codec,
        "width": video.width,
        "height": video.height,
        "num_frames": video.num_frames,
        "duration": video.duration,
        "every": what,
        "cell": cell,
        "backend": first.backend,
        "backend_reason": first.backend_reason,
        "residual_kind": first.residual_kind,
        "distance_kind": first.distance_kind,
        "shard_bytes": shard_bytes,
    }
    _prepare(target, about)
    done = sorted(target.glob("[0-9]*.npz"))
    start = _after(done[-1]) if done else 0
    num_pictures = 0
    for part in _parts(_open(video, what, cell, backend, start), shard_bytes):
        path = target / f"{part[0].frame:09d}.npz"
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **_arrays(part))
        done.append(path)
        num_pictures += len(part)
    return Saved(tuple(done), num_pictures, about)


Pictures = list[Picture] | list[PictureVectors]


def _after(archive: Path) -> int:
    """The picture after the last one of an archive."""
    try:
        with np.load(archive, allow_pickle=False) as last:
            return int(last["frames"][-1]) + 1
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise HimmelError(
            f"{str(archive)!r} is damaged or is not an archive of pictures; remove it and run again."
        ) from error


def _open(
    video: Video, what: Every, cell: Cell | None, backend: Backend, start: int
) -> FullRate[Picture] | FullRate[PictureVectors]:
    if what == "maps":
        return video.pictures(start=start, cell=cell, backend=backend)
    if cell is not None:
        raise UsageError(f"cell={cell} cannot be combined with vectors; it is the size of a map's cells.")
    return video.vectors(start=start, backend=backend)


def _prepare(folder: Path, about: dict[str, Any]) -> None:
    """Make the folder, or see that it holds the beginning of the same."""
    path = folder / ABOUT
    try:
        folder.mkdir(exist_ok=True)
        # What a killed run was writing has a name that begins with a dot; it may have come no further.
        is_new = all(entry.name.startswith(".") for entry in folder.iterdir())
        if not is_new and json.loads(path.read_text(encoding="utf-8")) != about:
            raise UsageError(
                f"{str(folder)!r} holds pictures of another video or with other settings; name another folder."
            )
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError | FileExistsError | NotADirectoryError | ValueError) and folder.exists():
            raise UsageError(f"{str(folder)!r} holds other files; name a new folder.") from error
        reason = error.strerror if isinstance(error, OSError) else error
        raise HimmelError(f"Cannot write {str(folder)!r} ({reason}); name a writable folder.") from error
    if is_new:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _parts(pictures: FullRate[Picture] | FullRate[PictureVectors], most: int) -> Iterator[Any]:
    """Lists of pictures whose arrays together take at most `most` bytes."""
    part: list[CodedPicture] = []
    room = most
    for picture in pictures:
        size = _size(picture)
        if part and size > room:
            yield part
            part, room = [], most
        part.append(picture)
        room -= size
    if part:
        yield part


def _size(picture: Picture | PictureVectors) -> int:
    if isinstance(picture, PictureVectors):
        return picture.vectors.nbytes
    maps = picture.past, picture.future, picture.past_valid, picture.future_valid, picture.residual, picture.covered
    return sum(plane.nbytes for plane in maps)


def _arrays(part: Pictures) -> Arrays:
    arrays: Arrays = {
        "frames": np.array([picture.frame for picture in part], np.int64),
        "times": np.array([picture.time for picture in part], np.float64),
        "types": np.array([picture.type for picture in part], "U1"),
        "keyframe": np.array([picture.keyframe for picture in part], np.bool_),
        "bits": np.array([picture.bits for picture in part], np.int64),
        "quantiser": np.array([picture.quantiser for picture in part], np.float32),
        "damaged": np.array([picture.damaged for picture in part], np.bool_),
    }
    maps = [picture for picture in part if isinstance(picture, Picture)]
    if not maps:
        vectors = [picture.vectors for picture in part if isinstance(picture, PictureVectors)]
        counts = np.array([len(of_one) for of_one in vectors], np.int64)
        return {**arrays, "num_vectors": counts, "vectors": np.concatenate(vectors)}
    return {
        **arrays,
        "num_vectors": np.array([picture.num_vectors for picture in maps], np.int64),
        "past": np.stack([picture.past for picture in maps]),
        "future": np.stack([picture.future for picture in maps]),
        "past_valid": np.stack([picture.past_valid for picture in maps]),
        "future_valid": np.stack([picture.future_valid for picture in maps]),
        "past_distance": np.array([picture.past_distance for picture in maps], np.float32),
        "future_distance": np.array([picture.future_distance for picture in maps], np.float32),
        "residual": np.stack([picture.residual for picture in maps]),
        "covered": np.stack([picture.covered for picture in maps]),
    }
