"""`Video`: a file as a sequence of pictures, and its decomposition into anchors and intervals."""

import os
import time
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from himmel._checks import check_choice, check_number, check_whole
from himmel.choices import AnchorMode, Backend, Cell
from himmel.errors import UsageError, VideoError
from himmel.video.arguments import CELLS, MAX_COUNT, check_indices, check_span, choose_cell, count_workers
from himmel.video.backends.choice import choose_backend
from himmel.video.decompose import Request, decompose
from himmel.video.describe.describe import DescribeRequest, describe
from himmel.video.describe.results import Timeline
from himmel.video.events import LEAST, MOST, EventFrames, check_bounds, choose_event_frames
from himmel.video.file.hash import FileHash
from himmel.video.file.opened import VideoFile, open_source
from himmel.video.file.shown import shown_images
from himmel.video.file.source import Spooled, VideoSource
from himmel.video.frames import Frames, place_frames, read_frames
from himmel.video.full_rate import FullRate, choose_for_vectors, read_pictures, read_vectors
from himmel.video.results import Decomposition, Picture, PictureVectors, Spending
from himmel.video.rgb_difference import add_rgb_difference
from himmel.video.sound.slots import add_sound
from himmel.video.spending import cell_for, read_spending

IntArray = npt.NDArray[np.int64]
MAX_CELLS_ACROSS = 120
MAX_CELLS_DESCRIBED = 80
ANCHOR_MODES: Final = get_args(AnchorMode)
BACKENDS: Final = get_args(Backend)


class Video:
    """A video file: its pictures, their real times and its keyframes, read by walking packets and decoding one picture.

    Args:
        path: any file that FFmpeg opens; or the bytes of one, or a file object that gives them, such as `io.BytesIO`:
            they are copied to a temporary file, which is removed with this object.

    Attributes:
        path: the file, or the copy.
        codec: FFmpeg's name of the codec, such as "h264".
        width, height: size of the displayed picture in pixels, after rotation (pixels stay as square as stored).
        coded_width, coded_height: size in which blocks are coded, before cropping and rotation.
        rotation: degrees by which stored pictures are turned clockwise for display: 0, 90, 180 or 270.
        start: time of the first shown picture in the file's own clock, in seconds.
        duration: seconds from the first shown picture to the end of the last.
        average_rate: pictures per second, measured: `num_frames / duration`.
        pts: int64 [T], presentation timestamps in the file's own unit, in presentation order; counted on where the
            file's clock starts again.
        times: float64 [T], seconds since the first shown picture.
        keyframes: int64 [K], indices into `times` of pictures at which decoding may start.
        notes: sentences about what was unusual in the file.

    Raises:
        VideoError: the file is missing, a folder, empty, no video, or none of its pictures can be decoded.
        UsageError: `path` is nothing that a video could come from.

    Examples:
        >>> video = Video("bunny.mp4")  # doctest: +SKIP
        >>> video.decompose(num_anchors=8)  # doctest: +SKIP
    """

    def __init__(self, path: VideoSource) -> None:
        begin = time.perf_counter()
        # The copy is removed with what made it.
        source = path if isinstance(path, str | os.PathLike) else Spooled(path)
        self._spooled = source if isinstance(source, Spooled) else None
        self._show(open_source(source))
        self._hash = FileHash(self.path)
        self._open_seconds = time.perf_counter() - begin

    def _show(self, file: VideoFile) -> None:
        self._file = file
        self.path, self.codec = file.path, file.codec
        self.width, self.height = file.displayed_size
        self.coded_width, self.coded_height = file.format.coded_width, file.format.coded_height
        self.rotation = 90 * file.format.orientation.quarter_turns
        self.pts, self.times, self.keyframes = file.pts, file.times, file.keyframes
        self.start, self.duration, self.average_rate = file.start, file.duration, file.average_rate
        self.notes = file.notes

    def __repr__(self) -> str:
        return (
            f"Video({str(self.path)!r}, codec={self.codec!r}, {self.width}x{self.height}, {self.num_frames} pictures,"
            f" {len(self.keyframes)} keyframes, {self.duration:.3f} s)"
        )

    @property
    def num_frames(self) -> int:
        """How many pictures are shown."""
        return len(self.pts)

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes, hexadecimal; read in pieces at the first use, unless `start_hash` was called.

        Raises:
            VideoError: the file can't be read any more.
        """
        try:
            return self._hash.value()
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise VideoError(f"{str(self.path)!r} cannot be read to its end ({reason}).") from error

    def start_hash(self) -> None:
        """Begin to make `sha256` in a thread of its own, while other things are read."""
        self._hash.start()

    @property
    def hash_seconds(self) -> float:
        """How long `sha256` was waited for, in seconds."""
        return self._hash.seconds

    def between(self, start: float = 0.0, end: float | None = None) -> "Video":
        """A stretch of this video as a video of its own, whose times begin at 0 again; nothing is copied or read.

        Args:
            start, end: seconds since the first shown picture, `start` below `end`; None for the video's end. The
                picture that is on the screen at `start` comes first, and none begins at `end` or after it.

        Raises:
            UsageError: there is no such stretch.

        Examples:
            >>> video.between(12.5, 20.0).decompose(num_anchors=4)  # doctest: +SKIP
        """
        stop = self.duration if end is None else end
        if not 0 <= start < min(stop, self.duration):
            raise UsageError(
                f"start={start!r}, end={end!r} is no stretch of this video; it lasts {self.duration:.3f} seconds."
            )
        part = copy(self)
        part._show(self._file.between(start, stop))
        return part

    def decompose(
        self,
        *,
        num_anchors: int = 8,
        anchor_mode: AnchorMode = "keyframe",
        steps_per_interval: int = 16,
        cell: Cell | None = None,
        backend: Backend = "auto",
        max_anchor_pixels: int | None = None,
        accumulate: bool = False,
        threads: int | None = None,
        rgb_difference: bool = False,
        sound: bool = False,
    ) -> Decomposition:
        """Split the video into anchors and intervals, and read the intervals' motion and residual.

        This is equation 1 of docs/method.md.

        Args:
            num_anchors: pictures for the vision tower, uniform over the duration, 1 to 4096; at most one per picture.
            anchor_mode: "keyframe": each anchor moves to the nearest keyframe within half a spacing, which costs one
                decoded picture; "exact": the picture nearest to each uniform time; "scene": at the beginning of
                scenes, found by where the codec spent bits, the rest spread evenly (see `scene.place_scene_anchors`).
            steps_per_interval: pictures of each interval whose maps are read, 1 to 4096.
            cell: side of a map's cell in luma pixels: 4, 8, 16, 32 or 64; None takes the smallest of 8 to 64 for which
                the longer side has at most 120 cells.
            backend: "bitstream" (H.264 parsed without decoding, by himmel's own engine), "libav" (vectors
                that FFmpeg exports while decoding), "proxy" (optical flow between decoded pictures), or "auto": the
                first of these that the file and the machine allow. Only if asked for: "coviar", accumulated vectors of
                MPEG-4 Part 2, as which any other file is encoded again in groups of 12 pictures, in a temporary file.
            max_anchor_pixels: shrink anchors' images to at most so many pixels.
            accumulate: trace each step's vectors and residual back to where its interval begins (Wu et al. 2018): to
                the anchor or, except with "proxy", to the last keyframe if one lies between: no vector crosses it.
                All of it is past motion then, and `past_distance` spans the way. All pictures on the way are read.
            threads: workers that read stretches of the file at once; None takes one per processor, at most 8. The
                result is the same for any number.
            rgb_difference: also decode each step and the picture before it, for `Interval.rgb_difference`; this costs
                the decoding of all pictures between them and their keyframes.
            sound: also read the sizes of the sound's packets and, of AAC-LC and HE-AAC, how loud they are, for
                `Interval.sound`; no sound is decoded. Of several tracks the one that FFmpeg takes for the best counts.

        Raises:
            UsageError: an argument is outside its range.
            VideoError: "bitstream" or "libav" was asked for and gets no vectors from the file, or anchors can't be
                decoded.
        """
        check_choice("anchor_mode", anchor_mode, ANCHOR_MODES)
        check_choice("backend", backend, BACKENDS)
        if max_anchor_pixels is not None:
            check_whole("max_anchor_pixels", max_anchor_pixels, 1, 2**30)
        request = Request(
            num_anchors=check_whole("num_anchors", num_anchors, 1, MAX_COUNT),
            anchor_mode=anchor_mode,
            steps_per_interval=check_whole("steps_per_interval", steps_per_interval, 1, MAX_COUNT),
            cell=choose_cell((self.width, self.height), cell, most=MAX_CELLS_ACROSS),
            backend=backend,
            max_anchor_pixels=max_anchor_pixels,
            accumulate=accumulate,
            threads=count_workers(threads),
        )
        found = decompose(self._file, request, sha256=self._hash.known, open_seconds=self._open_seconds)
        if rgb_difference:
            found = add_rgb_difference(found, self._file, threads=request.threads)
        return add_sound(found, self._file) if sound else found

    def frames(
        self,
        indices: Sequence[int] | IntArray | None = None,
        *,
        num_frames: int = 32,
        mode: AnchorMode = "exact",
        max_pixels: int | None = None,
        threads: int | None = None,
    ) -> Frames:
        """Decode some pictures, and read nothing else.

        Args:
            indices: which, strictly increasing indices in presentation order; None spreads `num_frames` of them evenly.
            num_frames: how many, 1 to 4096; at most one per picture.
            mode: "exact" or "keyframe", see `decompose`.
            max_pixels: shrink pictures to at most so many pixels.
            threads: see `decompose`.

        Raises:
            UsageError: an argument is outside its range.
            VideoError: none of the pictures can be decoded.
        """
        check_choice("mode", mode, ("exact", "keyframe"))
        if max_pixels is not None:
            check_whole("max_pixels", max_pixels, 1, 2**30)
        check_whole("num_frames", num_frames, 1, MAX_COUNT)
        notes: tuple[str, ...] = ()
        if indices is None:
            chosen, notes = place_frames(self._file, num_frames, mode)
        else:
            chosen = check_indices("indices", indices, self.num_frames)
        found = read_frames(
            self._file,
            chosen,
            max_pixels=max_pixels,
            threads=count_workers(threads),
            open_seconds=self._open_seconds,
        )
        return replace(found, notes=notes + found.notes)

    def images(self, *, max_pixels: int | None = None) -> Iterator[npt.NDArray[np.uint8]]:
        """Every picture, decoded, as `Anchor.image`; in presentation order, one held at a time.

        One that cannot be decoded is replaced by the one before it, so that there are `num_frames` of them, or none.

        Args:
            max_pixels: see `frames`.

        Raises:
            UsageError: `max_pixels` is out of range.
        """
        if max_pixels is not None:
            check_whole("max_pixels", max_pixels, 1, 2**30)
        return shown_images(self._file, max_pixels)

    def describe(
        self,
        *,
        pictures_per_second: float = 8.0,
        max_pictures: int = 4800,
        cell: Cell | None = None,
        backend: Backend = "auto",
        threads: int | None = None,
    ) -> Timeline:
        """What moves, and when: a time line of the camera's motion, of regions that move against it, and of cuts.

        With the backend "bitstream" no picture is decoded, and only the pictures that are read are parsed.

        Args:
            pictures_per_second: how many pictures are read for each second of the video, above 0 to 1000.
            max_pictures: the most that are read of a whole video, 1 to 100,000; a longer one is read more sparsely.
            cell: side of a map's cell in luma pixels, see `decompose`; None takes the smallest of 8 to 64 for which the
                longer side has at most 80 cells.
            backend: see `decompose`. With "coviar" motion is the mean since the keyframe before.
            threads: see `decompose`.

        Raises:
            UsageError: an argument is outside its range.
            VideoError: the backend that was asked for gets no vectors from the file.

        Examples:
            >>> print(Video("bunny.mp4").describe().text())  # doctest: +SKIP
        """
        check_choice("backend", backend, BACKENDS)
        request = DescribeRequest(
            pictures_per_second=check_number("pictures_per_second", pictures_per_second, 1e-6, 1000),
            max_pictures=check_whole("max_pictures", max_pictures, 1, 100_000),
            cell=choose_cell((self.width, self.height), cell, most=MAX_CELLS_DESCRIBED),
            backend=backend,
            threads=count_workers(threads),
        )
        return describe(self._file, request, open_seconds=self._open_seconds)

    def pictures(
        self, *, start: int = 0, stop: int | None = None, cell: Cell | None = None, backend: Backend = "auto"
    ) -> FullRate[Picture]:
        """Every picture's maps of motion and residual, one by one, in presentation order.

        Pictures are read while one iterates, on one thread, and a few are held at a time, however long the video is.

        Args:
            start, stop: the pictures `range(start, stop)`, as indices in presentation order; None reads to the end. The
                index at a time t is `numpy.searchsorted(video.times, t)`.
            cell, backend: see `decompose`. With "coviar", maps go back to the keyframe of each group of pictures.

        Raises:
            UsageError: an argument is outside its range.
            VideoError: the backend that was asked for cannot read the file.

        Examples:
            >>> for picture in video.pictures():  # doctest: +SKIP
            ...     print(picture.time, picture.type, picture.quantiser, picture.past.shape)
        """
        check_choice("backend", backend, BACKENDS)
        begin, end = check_span(start, stop, self.num_frames)
        side = choose_cell((self.width, self.height), cell, most=MAX_CELLS_ACROSS)
        choice = choose_backend(self._file, backend, has_steps=True)
        return FullRate.of(choice, begin, end, lambda: read_pictures(self._file, choice.backend, begin, end, side))

    def vectors(
        self, *, start: int = 0, stop: int | None = None, backend: Backend = "auto"
    ) -> FullRate[PictureVectors]:
        """Every picture's motion vectors one by one, as structured arrays `himmel.video.VECTOR`.

        Args:
            start, stop: see `pictures`.
            backend: see `decompose`. "bitstream" gives every vector with the picture that it leads to. "libav" gives
                what FFmpeg exports: blocks of 8 x 8 pixels and more, each with the nearest reference in its direction;
                nothing for B pictures of MPEG-4 Part 2. "coviar" gives those of MPEG-4 Part 2, as which other files
                are encoded again. "proxy" has none.

        Raises:
            UsageError: an argument is outside its range.
            VideoError: the file has no vectors, or the backend that was asked for cannot read it.

        Examples:
            >>> for picture in video.vectors(stop=100):  # doctest: +SKIP
            ...     print(picture.frame, picture.vectors["dx"].mean())
        """
        check_choice("backend", backend, BACKENDS)
        begin, end = check_span(start, stop, self.num_frames)
        choice = choose_for_vectors(self._file, backend)
        return FullRate.of(choice, begin, end, lambda: read_vectors(self._file, choice.backend, begin, end))

    def spending(
        self,
        frames: Sequence[int] | IntArray,
        *,
        steps: int = 4,
        cell: Cell | None = None,
        decode: bool = False,
        threads: int | None = None,
    ) -> Spending:
        """What the codec spent on chosen pictures: bits, and where; no picture is decoded unless asked for.

        Args:
            frames: the pictures, indices in presentation order, strictly increasing.
            steps: how many pictures between two chosen ones are looked at besides, 0 to 4096, as long as that makes
                no more than 1,024 in all.
            cell: side of a map's cell in luma pixels; None takes the smallest of 16 to 64 for which the longer side has
                at most 60 cells.
            decode: where the stream can't be parsed, decode these pictures and what they are predicted from, as other
                backends do; otherwise every place counts alike then, and the notes say so.
            threads: see `decompose`.

        Raises:
            UsageError: an argument is outside its range.

        Examples:
            >>> video.spending([0, 100, 200]).energy.shape  # doctest: +SKIP
        """
        chosen = check_indices("frames", frames, self.num_frames)
        if cell is not None:
            check_choice("cell", cell, CELLS)
        return read_spending(
            self._file,
            chosen,
            steps=check_whole("steps", steps, 0, MAX_COUNT),
            cell=cell_for(self.width, self.height) if cell is None else int(cell),
            decode=decode,
            threads=count_workers(threads),
        )

    def event_frames(
        self,
        *,
        num_frames: int = 32,
        mode: Literal["exact", "keyframe"] = "exact",
        least_density: float = LEAST,
        most_density: float = MOST,
        threads: int | None = None,
    ) -> EventFrames:
        """Choose pictures where the codec says that something happens; none is decoded.

        Args:
            num_frames: how many, 1 to 4096; at most one per picture.
            mode: "exact": the pictures nearest to the chosen times; "keyframe": the nearest keyframe that is nearer to
                that time than to the neighbours'.
            least_density, most_density: the sparsest and densest, where 1 is uniform; see `himmel.video.events`.
            threads: see `decompose`.

        Raises:
            UsageError: an argument is outside its range.
        """
        check_choice("mode", mode, ("exact", "keyframe"))
        check_bounds(least_density, most_density)
        return choose_event_frames(
            self._file,
            check_whole("num_frames", num_frames, 1, MAX_COUNT),
            mode=mode,
            least=least_density,
            most=most_density,
            threads=count_workers(threads),
        )
