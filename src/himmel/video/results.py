"""What a decomposition holds (docs/method.md, equation 1): anchors, intervals and dense maps, in frozen dataclasses."""

import os
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from himmel._html import facts, picture
from himmel._text import list_seconds
from himmel.choices import BackendName, DistanceKind, PictureType, ResidualKind

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class _ShapeRepr:
    """A repr that prints the shapes and types of arrays in place of their contents."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.name}={_brief(getattr(self, item.name))}" for item in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({shown})"


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple) and value and isinstance(value[0], _ShapeRepr):
        return f"<{len(value)} x {type(value[0]).__name__}>"
    if isinstance(value, float):
        return f"{value:.6g}"
    return repr(value)


@dataclass(frozen=True, repr=False, eq=False)
class Anchor(_ShapeRepr):
    """A picture for the host's vision tower.

    Attributes:
        frame: index of the picture in presentation order, 0 to `num_frames` - 1.
        time: seconds since the first shown picture.
        keyframe: whether it cost one seek and one decoded picture.
        image: uint8 [H, W, 3], RGB, turned the way it is displayed.
        reason: why it was chosen: "uniform" in the modes that place anchors by time alone; in the mode "scene"
            "start", "coverage", or what showed a new scene ("keyframe", "bits" or "intra", see `scene.find_changes`);
            "events" where frames are placed by how much happens (see `himmel.video.events`).
    """

    frame: int
    time: float
    keyframe: bool
    image: npt.NDArray[np.uint8]
    reason: str = "uniform"


@dataclass(frozen=True, repr=False, eq=False)
class StepMaps(_ShapeRepr):
    """Motion and residual of the F steps of one interval on a grid of R x C cells; float32, displayed orientation.

    Displacements are in luma pixels of the displayed picture, x to the right and y downwards, and always describe
    motion forward in time. Where a share is 0, so is the displacement; where a distance is 0, so is the share.

    Attributes:
        past: [F, 2, R, C], how far the content moved from the past reference to this picture.
        future: [F, 2, R, C], how far the content moves from this picture to its future reference.
        past_valid, future_valid: [F, R, C], share of the cell's area that such vectors cover, 0 to 1.
        past_distance, future_distance: [F], frame intervals to that reference; 0 means that there is none.
        residual: [F, 3, R, C], luma RMS, luma signed mean and chroma RMS of picture minus prediction over the covered
            pixels, in 8-bit code values.
        covered: [F, R, C], share of the cell's area that is predicted from any reference, 0 to 1.
    """

    past: FloatArray
    future: FloatArray
    past_valid: FloatArray
    future_valid: FloatArray
    past_distance: FloatArray
    future_distance: FloatArray
    residual: FloatArray
    covered: FloatArray

    def step(self, k: int) -> "StepMaps":
        """The maps of step k alone, with F = 1."""
        one = slice(k, k + 1)
        return StepMaps(
            past=self.past[one],
            future=self.future[one],
            past_valid=self.past_valid[one],
            future_valid=self.future_valid[one],
            past_distance=self.past_distance[one],
            future_distance=self.future_distance[one],
            residual=self.residual[one],
            covered=self.covered[one],
        )


@dataclass(frozen=True, repr=False, eq=False)
class Interval(_ShapeRepr):
    """The pictures after one anchor and before the next (the last one: up to the end of the video).

    Attributes:
        anchor: which of the decomposition's anchors it follows.
        start, stop: its pictures are `range(start, stop)`; the anchor itself is picture `start - 1`.
        frames: int64 [F], the pictures that its steps were read from, strictly increasing; F may be 0.
        times: float64 [F], their times in seconds since the first shown picture.
        maps: what was read there.
        rgb_difference: float32 [F, 3, R, C], each step's mean colour of each cell minus that of the picture before, in
            8-bit code values; None unless requested.
        sound: float32 [4, 32], what 32 equal stretches of time from the anchor to the next one (the last one: to the
            end) have of sound: bytes a second; loudness in dB, 0 being a full-scale square wave, at least -100; the
            share of the stretch that packets cover; the share whose loudness is known. Where a share is 0, so is what
            it is of. None unless requested.
    """

    anchor: int
    start: int
    stop: int
    frames: IntArray
    times: npt.NDArray[np.float64]
    maps: StepMaps
    rgb_difference: FloatArray | None = None
    sound: FloatArray | None = None


@dataclass(frozen=True, repr=False, eq=False)
class Decomposition(_ShapeRepr):
    """A video as anchors and intervals (docs/method.md, equation 1).

    Attributes:
        path, sha256: the file; the hash is None unless `Video.sha256` was read before.
        codec: FFmpeg's name of the codec, such as "h264".
        width, height: size of the displayed picture in pixels, after rotation.
        duration, num_frames, average_rate: seconds, shown pictures, pictures per second as measured from timestamps.
        backend: where the maps come from, "bitstream", "libav", "coviar" or "proxy"; `backend_reason` says why in
            a clause.
        residual_kind: "exact" (the stream's own coefficients), "approximate" (picture minus its motion-compensated
            reference) or "estimated" (by optical flow).
        distance_kind: "estimated" (nearest decoded reference picture) or "exact".
        accumulated: the maps go back to where their interval begins, not to each picture's own references.
        cell, grid: side of a cell in luma pixels, (rows, columns).
        anchors, intervals: as many of the one as of the other.
        num_vectors: motion vectors read from the file at the steps.
        num_damaged: how many of the pictures read for anchors and steps are missing or damaged. Missing parts are
            guessed or left out of the maps. A damaged anchor that was replaced doesn't count.
        notes: sentences about what was unusual in the file or in what was asked.
        seconds: wall time by stage: "open", "probe", "extract", and "rgb_difference" and "sound" if requested.
    """

    path: str
    sha256: str | None
    codec: str
    width: int
    height: int
    duration: float
    num_frames: int
    average_rate: float
    backend: BackendName
    backend_reason: str
    residual_kind: ResidualKind
    distance_kind: DistanceKind
    accumulated: bool
    cell: int
    grid: tuple[int, int]
    anchors: tuple[Anchor, ...]
    intervals: tuple[Interval, ...]
    num_vectors: int
    num_damaged: int
    notes: tuple[str, ...]
    seconds: dict[str, float]

    def _repr_html_(self) -> str:
        """In Jupyter: the strip of `draw_streams`, and a table."""
        from himmel.video.draw import drawing_bytes, streams_figure

        rows, columns = self.grid
        steps = sum(len(interval.frames) for interval in self.intervals)
        says = f"Anchors, motion and residual of {os.path.basename(self.path)}"
        return picture(drawing_bytes(streams_figure(self)), "image/png", says=says) + facts(
            {
                "video": f"{self.path}: {self.codec}, {self.width} x {self.height}, {self.duration:.2f} s, "
                f"{self.num_frames} pictures",
                "backend": f"{self.backend} ({self.backend_reason}); residual {self.residual_kind}"
                + (", accumulated" if self.accumulated else ""),
                "grid": f"{rows} rows x {columns} columns of {self.cell} x {self.cell} pixels",
                "intervals": f"{len(self.intervals)} with {steps} steps, {self.num_vectors:,} motion vectors read",
                "seconds": list_seconds(self.seconds),
                "note": " ".join(self.notes),
            }
        )


@dataclass(frozen=True, repr=False, eq=False)
class Spending(_ShapeRepr):
    """What the codec spent on n chosen pictures, when and where; displayed orientation.

    The stretch of a picture is what comes after the one chosen before it, up to itself; that of the first is itself
    alone. Of each stretch a few pictures are looked at, the chosen one among them; maps are means over those that are
    no keyframes.

    Attributes:
        frames: int64 [n], the chosen pictures, indices in presentation order.
        bits: int64 [n], bits that the file spends on each, with its headers.
        stretch_bits: float64 [n], mean bits of a picture of its stretch.
        group_bits: float64 [n], mean bits of a picture of its group of pictures, from one keyframe to the next.
        intra: float32 [n], share of intra-coded area, 0 to 1; NaN where no picture tells it.
        energy: float32 [n, R, C], mean square of the luma residual over each cell, in squared 8-bit code values; 0
            where no picture tells it. What is intra-coded has none.
        motion: float32 [n, R, C], how far the content of each cell moves a frame interval, in luma pixels, likewise.
        place_bits: float32 [n, R, C], bits spent on each cell; those of the chosen picture itself where a stretch has
            keyframes alone; spread evenly where only those of whole pictures are known.
        cell, grid: side of a cell in luma pixels, (rows, columns).
        width, height: size of the displayed picture in pixels.
        backend: where the maps come from; None where they are not known.
        num_read: how many pictures were looked at.
        notes: sentences about what is not known.
    """

    frames: IntArray
    bits: IntArray
    stretch_bits: npt.NDArray[np.float64]
    group_bits: npt.NDArray[np.float64]
    intra: FloatArray
    energy: FloatArray
    motion: FloatArray
    place_bits: FloatArray
    cell: int
    grid: tuple[int, int]
    width: int
    height: int
    backend: BackendName | None
    num_read: int
    notes: tuple[str, ...]


@dataclass(frozen=True, repr=False, eq=False)
class CodedPicture(_ShapeRepr):
    """One picture of a video as it is coded.

    Attributes:
        frame: its index in presentation order, 0 to `num_frames` - 1.
        time: seconds since the first shown picture.
        type: "I" (predicted from nothing), "P" or "B"; "?" if the stream does not say.
        keyframe: decoding may start here.
        bits: bits that the file spends on it, with its headers.
        quantiser: mean luma quantiser of its macroblocks, QP of H.264 (0 to 51 for 8 bits); NaN where it isn't known,
            as with every backend but "bitstream".
        damaged: parts of it are missing in the file, and their values are guesses.
    """

    frame: int
    time: float
    type: PictureType
    keyframe: bool
    bits: int
    quantiser: float
    damaged: bool


@dataclass(frozen=True, repr=False, eq=False)
class Picture(CodedPicture):
    """A picture's maps of motion and residual: the fields of `StepMaps` without their first axis.

    Attributes:
        num_vectors: motion vectors that the maps were made from.
        past, future: float32 [2, R, C], displacement in luma pixels.
        past_valid, future_valid: float32 [R, C], share of each cell, 0 to 1.
        past_distance, future_distance: frame intervals to the reference; 0 means that there is none.
        residual: float32 [3, R, C], in 8-bit code values.
        covered: float32 [R, C], share of each cell, 0 to 1.
    """

    num_vectors: int
    past: FloatArray
    future: FloatArray
    past_valid: FloatArray
    future_valid: FloatArray
    past_distance: float
    future_distance: float
    residual: FloatArray
    covered: FloatArray


@dataclass(frozen=True, repr=False, eq=False)
class PictureVectors(CodedPicture):
    """A picture's motion vectors one by one.

    Attributes:
        vectors: `VECTOR` [V], in the stream's order.
    """

    vectors: npt.NDArray[np.void]
