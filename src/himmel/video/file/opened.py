"""A file that has been opened: everything that is known of it before its maps are read, in one record."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from himmel._interrupts import interrupts_kept
from himmel.errors import VideoError
from himmel.video.file.container import open_stream
from himmel.video.file.decoder import check_keys
from himmel.video.file.index import PictureIndex, build_index, with_references
from himmel.video.file.leads import without_lost_leads
from himmel.video.file.order import in_order
from himmel.video.file.picture import PictureFormat, read_format
from himmel.video.file.playlist import check_playlist
from himmel.video.file.protection import is_encrypted
from himmel.video.file.source import Spooled, check_file, show


@dataclass(frozen=True, repr=False, eq=False)
class VideoFile:
    """A file, its packets and the format of its pictures.

    Attributes:
        codec: FFmpeg's name of the codec, such as "h264".
        pts: int64 [T], presentation timestamps in the file's own unit, in presentation order; counted on where the
            file's clock starts again.
        times: float64 [T], seconds since the first shown picture.
        start: time of the first shown picture in the file's own clock, in seconds.
        duration: seconds from the first shown picture to the end of the last.
        keyframes: int64 [K], presentation indices of pictures at which decoding may start.
        notes: sentences about what was unusual in the file.
    """

    path: Path
    codec: str
    index: PictureIndex
    format: PictureFormat
    pts: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    start: float
    duration: float
    keyframes: npt.NDArray[np.int64]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, codec: str, index: PictureIndex, fmt: PictureFormat) -> "VideoFile":
        """Put the record together from what was read; the index names at least one shown picture."""
        pts = index.pts[index.order]
        unit = index.time_base
        times = (pts - pts[0]) * unit.numerator / unit.denominator
        return cls(
            path=path,
            codec=codec,
            index=index,
            format=fmt,
            pts=pts,
            times=times,
            start=float(pts[0] * unit),
            duration=float(times[-1]) + index.last_duration,
            keyframes=np.flatnonzero(index.key[index.order]),
            notes=index.notes,
        )

    @property
    def displayed_size(self) -> tuple[int, int]:
        """(width, height) of the displayed picture in pixels, after rotation."""
        return self.format.orientation.size(self.format.width, self.format.height)

    @property
    def average_rate(self) -> float:
        """Pictures per second, measured."""
        return len(self.pts) / self.duration

    def between(self, start: float, end: float) -> "VideoFile":
        """The same file as if nothing of it were shown before and after a stretch.

        Args:
            start, end: in seconds since the first shown picture; the picture that is on the screen at `start` is the
                first, and none begins at `end` or after it. There is at least one.
        """
        first = max(int(np.searchsorted(self.times, start, side="right")) - 1, 0)
        stop = max(int(np.searchsorted(self.times, end)), first + 1)
        if stop - first == len(self.times):
            return self
        order = self.index.order[first:stop]
        shown = np.zeros_like(self.index.shown)
        shown[order] = True
        last = self.index.last_duration if stop == len(self.times) else float(self.times[stop] - self.times[stop - 1])
        note = f"Only the stretch from {self.times[first]:.3f} to {self.times[stop - 1] + last:.3f} s is read."
        notes = (*self.index.notes, note)
        index = replace(self.index, order=order, shown=shown, last_duration=last, notes=notes)
        return VideoFile.of(self.path, self.codec, index, self.format)

    def with_references(self) -> "VideoFile":
        """The same file with `index.reference` from its packets, which are looked at if that was not done before."""
        return replace(self, index=with_references(self.path, self.index))


def open_video(path: Path) -> VideoFile:
    """Read a file's packets and decode one picture.

    Raises:
        VideoError: the file is missing, a folder, empty, no video, or none of its pictures can be decoded.
    """
    check_file(path)
    check_playlist(path)
    try:
        with interrupts_kept():
            return _read(path)
    except VideoError as error:
        if is_encrypted(path):
            raise VideoError(f"{show(path)} is encrypted; decrypt it with its key first.") from error
        raise


def open_source(source: str | os.PathLike[str] | Spooled) -> VideoFile:
    """`open_video`, for a copy as well: messages call it by its own name.

    Raises:
        VideoError: as `open_video` does.
    """
    if not isinstance(source, Spooled):
        return open_video(Path(source))
    try:
        return open_video(source.path)
    except VideoError as error:
        raise VideoError(str(error).replace(repr(str(source.path)), source.name)) from error


def _read(path: Path) -> VideoFile:
    with open_stream(path) as opened:
        codec = opened[1].codec_context.codec.canonical_name
        index = build_index(path, *opened)
        if len(index.order):
            index = check_keys(path, index)
            index = without_lost_leads(path, in_order(path, index, codec))
        if not len(index.order):
            raise VideoError(f"{show(path)} has no pictures that can be shown; it is damaged or incomplete.")
        return VideoFile.of(path, codec, index, read_format(path, index, opened))
