"""One video encoded again as H.264 at one quantiser, and what that changed: pictures, motion and residual."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange

from himmel._files import atomic_path
from himmel._x264 import repeatable_x264
from himmel.choices import Preset, RateControl
from himmel.errors import VideoError
from himmel.video import Picture, Video
from himmel.video.file.container import open_stream
from himmel.video.file.decoder import Decoder
from himmel.video.file.memory import plane_samples
from himmel.video.file.opened import VideoFile, open_video
from himmel.video.file.orientation import Orientation
from himmel.video.file.pyav import KEEPS_FULL_RANGE
from himmel.video.file.shown import shown_pictures

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]

COMPARED: Final = 64
"""Pictures of a clip, evenly spread, whose pixels are compared with the source's."""
_MOST_DB: Final = 100.0
# Wang et al. (2004): a Gaussian of 11 x 11 pixels, and the constants of an 8-bit range.
_SIGMA, _WINDOW = 1.5, (11, 11)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BLOCK = 16 * 16


@dataclass(frozen=True)
class Coding:
    """How x264 is set.

    Attributes:
        mode: "qp": a constant quantiser for P pictures, with x264's fixed distances for I and B pictures; "crf": its
            constant rate factor, by which it chooses quantisers as services do.
        level: 1 to 51.
        preset: x264's own name.
    """

    mode: RateControl
    level: int
    preset: Preset

    def options(self) -> dict[str, str]:
        """For FFmpeg's encoder. Pictures are keyframes where they are told to be, and nowhere else."""
        fixed = {"keyint": "infinite", "scenecut": "0", **repeatable_x264()}
        return {
            "preset": self.preset,
            self.mode: str(self.level),
            "forced-idr": "1",
            "x264-params": ":".join(f"{name}={value}" for name, value in fixed.items()),
        }


@dataclass(frozen=True)
class Signals:
    """What a file's pictures carry, those at keyframes left out except for the bits.

    Attributes:
        bits_per_second: of all pictures.
        quantiser: mean over the pictures; None if it isn't known, as for other codecs than H.264.
        vectors: motion vectors for each block of 16 x 16 pixels.
        covered: share of the area that is predicted, 0 to 1; the rest is coded anew (intra).
        speed: mean length of the motion where there is any vector, pixels per picture.
        residual: mean over the predicted area of the root mean square of what the prediction lacks in luma, in code
            values.
    """

    bits_per_second: float
    quantiser: float | None
    vectors: float
    covered: float
    speed: float
    residual: float


@dataclass(frozen=True)
class Recoded:
    """A clip that was encoded again.

    Attributes:
        duration: seconds.
        pictures: how many; picture k of the clip is picture k of the source, at the same time.
        keyframes: how many; they are the source's.
        psnr: peak signal-to-noise ratio of luma against the source, dB, at most 100; from the mean squared error over
            `COMPARED` pictures.
        ssim: mean structural similarity of luma (Wang et al. 2004) over the same pictures, at most 1.
        source, clip: signals before and after.
        motion_change: mean distance between the motion of clip and source, pixels per picture, over the cells for which
            both have vectors; None if there are none.
    """

    duration: float
    pictures: int
    keyframes: int
    psnr: float
    ssim: float
    source: Signals
    clip: Signals
    motion_change: float | None


def recode(source: Path, target: Path, coding: Coding) -> Recoded:
    """Encode a video again without its sound, write it to `target`, whole or not at all, and measure what changed.

    The clip is an MP4 file whatever its name ends in. Its pictures are the source's in 8-bit 4:2:0, turned as they are
    displayed, without a last odd row or column, at the same times, with keyframes at the same places. The same bytes
    come out each time.

    Raises:
        VideoError: the source cannot be read, or not be encoded.
        HimmelError: `target` cannot be written.
    """
    file = open_video(source)
    with atomic_path(target) as temporary:
        try:
            _encode(file, temporary, coding)
        except (av.FFmpegError, OSError) as error:
            reason = (error.strerror or "unknown error").lower()
            raise VideoError(f"{str(source)!r} cannot be encoded as H.264 ({reason}).") from error
    psnr, ssim = compare_pixels(file, open_video(target))
    before, after, change = compare_signals(Video(source), Video(target))
    return Recoded(file.duration, len(file.pts), len(file.keyframes), psnr, ssim, before, after, change)


def _encode(file: VideoFile, target: Path, coding: Coding) -> None:
    keys = set(file.keyframes.tolist())
    unit = file.index.time_base
    with Decoder(file.path, file.index, vectors=False) as decoder, av.open(str(target), "w", format="mp4") as container:
        rate = Fraction(file.average_rate).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options=coding.options())
        context = stream.codec_context
        # The same file on any number of processors.
        context.thread_count = 1
        context.time_base = unit
        for place, (frame, _, _) in enumerate(shown_pictures(decoder, file)):
            picture = _upright(frame, file.format.orientation)
            if place == 0:
                stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
                _copy_colours(frame, file.path, context)
            picture.pts, picture.time_base = int(file.pts[place] - file.pts[0]), unit
            picture.pict_type = PictureType.I if place in keys or place == 0 else PictureType.NONE
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _copy_colours(frame: VideoFrame, path: Path, context: VideoCodecContext) -> None:
    """What is said of a picture's colours; of primaries and transfer by the file, as PyAV 15 has them nowhere else."""
    if frame.color_range == ColorRange.JPEG and not KEEPS_FULL_RANGE:
        raise VideoError(
            f"PyAV {av.__version__} cannot keep the full range of colours of {str(path)!r}; install PyAV 16 or newer."
        )
    context.colorspace, context.color_range = frame.colorspace, frame.color_range
    with open_stream(path) as (_, stream):
        said = stream.codec_context
        context.color_primaries, context.color_trc = said.color_primaries, said.color_trc


def _upright(frame: VideoFrame, orientation: Orientation) -> VideoFrame:
    """The picture as it is displayed, with an even number of rows and columns."""
    planes = [orientation.picture(_plane(frame, number)) for number in range(3)]
    height, width = (size - size % 2 for size in planes[0].shape)
    luma = planes[0][:height, :width]
    chroma = [plane[: height // 2, : width // 2] for plane in planes[1:]]
    whole = np.concatenate([plane.reshape(-1) for plane in (luma, *chroma)]).reshape(height * 3 // 2, width)
    return VideoFrame.from_ndarray(whole, format="yuv420p")


def _plane(frame: VideoFrame, number: int) -> ByteArray:
    return plane_samples(frame.planes[number]).copy()


def compare_pixels(source: VideoFile, clip: VideoFile) -> tuple[float, float]:
    """(PSNR in dB, SSIM) of the luma of a clip whose pictures are those of the source."""
    chosen = set(np.unique(np.linspace(0, len(source.pts) - 1, COMPARED).round().astype(int)).tolist())
    errors, similarities = [], []
    for place, (before, after) in enumerate(zip(_lumas(source), _lumas(clip), strict=True)):
        if place in chosen:
            height, width = after.shape
            original = before[:height, :width].astype(np.float32)
            coded = after.astype(np.float32)
            errors.append(float(np.mean((original - coded) ** 2, dtype=np.float64)))
            similarities.append(structural_similarity(original, coded))
    error = float(np.mean(errors))
    psnr = _MOST_DB if error == 0 else min(10 * math.log10(255**2 / error), _MOST_DB)
    return psnr, float(np.mean(similarities))


def _lumas(file: VideoFile) -> Iterator[ByteArray]:
    with Decoder(file.path, file.index, vectors=False) as decoder:
        for frame, _, _ in shown_pictures(decoder, file):
            yield file.format.orientation.picture(_plane(frame, 0))


def structural_similarity(one: FloatArray, other: FloatArray) -> float:
    """Mean SSIM of two planes [H, W] in 8-bit code values (Wang et al. 2004, equation 13)."""

    def mean(plane: npt.NDArray[np.floating]) -> FloatArray:
        return np.asarray(cv2.GaussianBlur(plane, _WINDOW, _SIGMA), np.float32)

    mean_one, mean_other = mean(one), mean(other)
    var_one, var_other = mean(one * one) - mean_one**2, mean(other * other) - mean_other**2
    covariance = mean(one * other) - mean_one * mean_other
    above = (2 * mean_one * mean_other + _C1) * (2 * covariance + _C2)
    below = (mean_one**2 + mean_other**2 + _C1) * (var_one + var_other + _C2)
    return float(np.mean(above / below, dtype=np.float64))


def compare_signals(source: Video, clip: Video) -> tuple[Signals, Signals, float | None]:
    """Signals of both, and how far their motion is apart (see `Recoded`)."""
    before, after = _Sum(source), _Sum(clip)
    distance = cells = 0.0
    for one, other in _side_by_side(source, clip):
        before.add(one)
        after.add(other)
        if one.keyframe or other.keyframe or one.past.shape != other.past.shape:
            continue
        (motion, known), (motion_after, known_after) = motion_of(one), motion_of(other)
        both = known & known_after
        distance += float(np.hypot(*(motion - motion_after))[both].sum(dtype=np.float64))
        cells += int(both.sum())
    return before.signals(), after.signals(), distance / cells if cells else None


def _side_by_side(source: Video, clip: Video) -> Iterator[tuple[Picture, Picture]]:
    """Pictures of the same place; one that either file cannot give is left out."""
    pictures = iter(clip.pictures())
    waiting = next(pictures, None)
    for one in source.pictures():
        while waiting is not None and waiting.frame < one.frame:
            waiting = next(pictures, None)
        if waiting is not None and waiting.frame == one.frame:
            yield one, waiting


def motion_of(picture: Picture) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Motion float32 [2, R, C] in pixels per picture, and where it is known: half of the cell has such vectors.

    From the past reference, or where that isn't known, to the future one.
    """
    past, future = picture.past_valid > 0.5, picture.future_valid > 0.5
    from_past = picture.past / max(picture.past_distance, 1e-6)
    to_future = picture.future / max(picture.future_distance, 1e-6)
    return np.where(past, from_past, np.where(future, to_future, 0)).astype(np.float32), past | future


class _Sum:
    """Adds up a video's pictures."""

    def __init__(self, video: Video) -> None:
        self._duration = video.duration
        self._blocks = video.width * video.height / _BLOCK
        self._bits = self._quantisers = 0.0
        self._vectors = self._covered = self._residual = self._speed = 0.0
        self._pictures = self._known = self._predicted = self._moving = 0

    def add(self, picture: Picture) -> None:
        self._bits += picture.bits
        if picture.keyframe:
            return
        self._pictures += 1
        if not math.isnan(picture.quantiser):
            self._quantisers += picture.quantiser
            self._known += 1
        self._vectors += picture.num_vectors / self._blocks
        self._covered += float(picture.covered.mean())
        if picture.covered.any():
            self._residual += float(np.average(picture.residual[0], weights=picture.covered))
            self._predicted += 1
        motion, known = motion_of(picture)
        if known.any():
            self._speed += float(np.hypot(*motion)[known].mean())
            self._moving += 1

    def signals(self) -> Signals:
        return Signals(
            bits_per_second=self._bits / self._duration,
            quantiser=self._quantisers / self._known if self._known else None,
            vectors=self._vectors / max(self._pictures, 1),
            covered=self._covered / max(self._pictures, 1),
            speed=self._speed / max(self._moving, 1),
            residual=self._residual / max(self._predicted, 1),
        )
