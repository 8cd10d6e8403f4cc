"""An overlay video: every picture of a stretch with its motion as arrows, its residual as heat, and cuts."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from himmel._checks import check_overlay
from himmel._files import atomic_path
from himmel._progress import track
from himmel._x264 import repeatable_x264
from himmel.choices import Backend, BackendName
from himmel.errors import VideoError
from himmel.video.draw import mean_velocity
from himmel.video.full_rate import FullRate
from himmel.video.map_pictures import Image, full_residual, full_speed
from himmel.video.results import Decomposition, Picture, StepMaps
from himmel.video.video import Video
from himmel.video.view.band import HEIGHT, LEAST_WIDTH, Band
from himmel.video.view.cuts import ROUNDING, find_cuts
from himmel.video.view.marks import Scale, draw_cut, draw_marks

# Pixels of the longer side: smaller pictures are enlarged, so that arrows can be told apart, larger ones shrunk.
_LEAST, _MOST = 640, 1280
_UNIT: Final = Fraction(1, 90_000)
_CUT_SECONDS: Final = 0.4
# Pixels a frame; what moves less counts as still.
_SLOWEST: Final = 0.25
# From this width on the band is drawn larger, so that it can be read when the video is shown small.
_WIDE, _LARGER = 960, 1.5
_FORMATS: Final = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}


@dataclass(frozen=True)
class Overlay:
    """What was written.

    Attributes:
        pictures: how many.
        without_maps: how many of them have no maps, since they cannot be read.
        start, end: of the stretch, in seconds of the video.
        cuts: where new scenes begin, in seconds of the video.
        backend: where maps come from.
        notes: sentences about what was unusual.
    """

    pictures: int
    without_maps: int
    start: float
    end: float
    cuts: tuple[float, ...]
    backend: BackendName
    notes: tuple[str, ...]


def draw_overlay(
    video: Video,
    path: str | os.PathLike[str],
    *,
    start: float = 0.0,
    end: float | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Overlay:
    """Write a video's pictures again, with what the file stores drawn over them, as H.264 without sound.

    Arrows show the motion of each picture, coloured by direction and speed as in `draw_streams`; heat shows the
    residual; a frame shows a new scene. Pictures keep their times. Colours mean the same in all pictures: full colour
    is set by some that are spread over the stretch. A few pictures are held at a time, however long the video is.

    Args:
        video: an open file.
        path: the file to write, .mp4, .mkv or .mov.
        start, end: the stretch, see `Video.between`.
        backend, threads: see `Video.decompose`.

    Raises:
        UsageError: the name ends with something else, or there is no such stretch.
        VideoError: the backend can't read the file, or no picture can be decoded.
        HimmelError: the file can't be written.
    """
    check_overlay(path)
    part = video.between(start, end)
    begin = part.start - video.start
    scan = part.decompose(steps_per_interval=8, backend=backend, max_anchor_pixels=1, threads=threads)
    maps = part.pictures(backend=backend)
    scale = _scale(scan)
    width = max(scale.size[0] + scale.size[0] % 2, LEAST_WIDTH)
    stretch = begin, begin + part.duration
    cuts = find_cuts(video, *stretch, backend=backend, threads=threads)
    larger = _LARGER if width >= _WIDE else 1.0
    band = Band(round(width / larger), scale=scale, stretch=stretch, cuts=cuts, backend=maps.backend)
    first = int(np.searchsorted(video.times, begin - ROUNDING))
    painter = _Painter(scale, band, (width, round(larger * HEIGHT)), cuts, begin, first)
    with atomic_path(path) as temporary:
        try:
            pictures, without = _encode(part, temporary, maps, painter)
        except av.FFmpegError as error:
            reason = (error.strerror or "unknown error").lower()
            raise VideoError(f"{str(video.path)!r} cannot be drawn as a video ({reason}).") from error
        if not pictures:
            raise VideoError(f"None of the pictures of {str(video.path)!r} can be decoded; the file is damaged.")
    return Overlay(pictures, without, *stretch, cuts, maps.backend, scan.notes)


def _scale(scan: Decomposition) -> Scale:
    maps = [interval.maps for interval in scan.intervals]
    longest = max(scan.width, scan.height)
    factor = min(_MOST / longest, max(1.0, _LEAST / longest))
    return Scale(
        displayed=(scan.width, scan.height),
        size=(max(1, round(scan.width * factor)), max(1, round(scan.height * factor))),
        cell=scan.cell,
        speed=full_speed(maps),
        residual=full_residual(maps),
        brisk=brisk_speed(maps),
    )


def brisk_speed(maps: Sequence[StepMaps]) -> float:
    """Faster than nine tenths of what moves, in pixels a frame."""
    drawn = map(mean_velocity, maps)
    speeds = np.concatenate([np.hypot(velocity[0], velocity[1])[known] for velocity, known in drawn])
    moving = speeds[speeds >= _SLOWEST]
    return float(np.percentile(moving, 90)) if moving.size else _SLOWEST


@dataclass(frozen=True, eq=False)
class _Painter:
    """Paints whole pictures of an overlay: the picture in the middle, the band below.

    Attributes:
        below: width and height at which the band is shown, both even.
        begin: seconds at which the stretch begins in the video; `first` is the number of its first picture there.
    """

    scale: Scale
    band: Band
    below: tuple[int, int]
    cuts: tuple[float, ...]
    begin: float
    first: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, both even."""
        height = self.scale.size[1]
        return self.below[0], height + height % 2 + self.below[1]

    def paint(self, image: Image, place: int, time: float, picture: Picture | None) -> Image:
        """The picture `place` of the stretch, at `time` seconds in it."""
        width, height = self.scale.size
        shrinks = image.shape[1] > width
        sized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        drawn: Image = sized.astype(np.uint8, copy=False)
        if picture is not None:
            drawn = draw_marks(drawn, picture, self.scale)
        now = self.begin + time
        if any(-ROUNDING <= now - cut < _CUT_SECONDS for cut in self.cuts):
            draw_cut(drawn)
        whole = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        left = (self.size[0] - width) // 2
        whole[:height, left : left + width] = drawn
        band = self.band.draw(now, self.first + place, picture)
        whole[-self.below[1] :] = cv2.resize(band, self.below, interpolation=cv2.INTER_CUBIC)
        return whole


def _encode(part: Video, target: Path, maps: FullRate[Picture], painter: _Painter) -> tuple[int, int]:
    """Write the video; returns how many pictures it has, and how many of them without maps."""
    written, without, ticks = 0, 0, -1
    pairs = _pair(part.images(max_pixels=_MOST**2), iter(maps))
    with av.open(str(target), "w", format=_FORMATS[target.suffix.lower()]) as container:
        stream = _open_stream(container, part.average_rate, painter.size)
        for place, (image, picture) in enumerate(track(pairs, what="Drawing", total=part.num_frames)):
            time = float(part.times[place])
            frame = VideoFrame.from_ndarray(painter.paint(image, place, time, picture), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            ticks = max(round(time / _UNIT), ticks + 1)
            frame.pts, frame.time_base = ticks, _UNIT
            container.mux(stream.encode(frame))
            written += 1
            without += picture is None
        container.mux(stream.encode(None))
    return written, without


def _open_stream(container: OutputContainer, rate: float, size: tuple[int, int]) -> VideoStream:
    parameters = ":".join(f"{name}={value}" for name, value in repeatable_x264().items())
    options = {"preset": "veryfast", "crf": "20", **({"x264-params": parameters} if parameters else {})}
    whole = max(Fraction(rate).limit_denominator(1001), Fraction(1, 1001))
    stream = container.add_stream("libx264", rate=whole, options=options)
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    context = stream.codec_context
    # The same file on any number of processors.
    context.thread_count = 1
    context.time_base = _UNIT
    # ITU-R BT.709, which players take pictures of this size for.
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries = context.color_trc = 1
    return stream


def _pair(images: Iterator[Image], maps: Iterator[Picture]) -> Iterator[tuple[Image, Picture | None]]:
    """Each image with its maps, of which some may be missing."""
    waiting = next(maps, None)
    for place, image in enumerate(images):
        there = waiting is not None and waiting.frame == place
        yield image, waiting if there else None
        if there:
            waiting = next(maps, None)
