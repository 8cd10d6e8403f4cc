"""What the page shows of a video, read in processes of their own: a time line, and the streams of each picture."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, Final

import cv2
import numpy as np

from himmel._html import data_address
from himmel.choices import AnchorMode, Backend
from himmel.data.workers import Apart, Failure
from himmel.data.workers import Limits as WorkerLimits
from himmel.errors import HimmelError, VideoError
from himmel.serving.server.containers import check_container
from himmel.serving.server.limits import Limits
from himmel.video import Picture, Video
from himmel.video.map_pictures import Image, full_residual, full_speed, motion_picture, residual_picture
from himmel.video.view.cuts import find_cuts
from himmel.video.view.marks import Scale, draw_arrows, maps_of
from himmel.video.view.moments import LONGEST_SIDE, compress
from himmel.video.view.overlay import brisk_speed

WINDOW: Final = 8
"""Pictures that are read together: neighbours cost little once their keyframe is decoded."""
MOST_COUNTED: Final = 2048
"""Pictures whose bits are shown; of a longer video so many, evenly spread."""


@dataclass(frozen=True)
class LineTask:
    """Anchors and intervals, and the scales of colours."""

    path: Path
    limits: Limits
    num_anchors: int
    steps_per_interval: int
    anchor_mode: AnchorMode
    backend: Backend


@dataclass(frozen=True)
class CutsTask:
    """Where new scenes begin."""

    path: Path
    backend: Backend


@dataclass(frozen=True)
class BitsTask:
    """What the codec spent on each picture."""

    path: Path


@dataclass(frozen=True)
class PicturesTask:
    """The streams of `WINDOW` pictures, the first of which is number `first`."""

    path: Path
    first: int
    backend: Backend
    scale: Scale


Task = LineTask | CutsTask | BitsTask | PicturesTask


class Lookers:
    """Workers that look at videos; for any number of threads, of which as many are served as there are workers.

    A file that crashes, hangs or fills its worker costs its own request.

    Args:
        limits: `workers`, `read_seconds` and `read_bytes` hold here.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        apart = WorkerLimits(seconds=limits.read_seconds, memory=limits.read_bytes)
        self._idle: LifoQueue[Apart[Task, dict[str, Any]]] = LifoQueue()
        for _ in range(limits.workers):
            self._idle.put(Apart(look, apart))

    def look(self, task: Task) -> dict[str, Any]:
        """Do a task.

        Raises:
            VideoError: the file cannot be read, or takes too much.
            HimmelError: no worker can be started.
        """
        apart = self._idle.get()
        try:
            outcome = apart(task)
        finally:
            self._idle.put(apart)
        if outcome.value is not None:
            return outcome.value
        raise VideoError(_explain(outcome.failure or Failure("unexpected"), self._limits))

    def close(self) -> None:
        """End the workers that have nothing to do; the others end with this process."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return


def look(task: Task) -> dict[str, Any]:
    """Do a task in this process, which is a worker; what it returns can be written as JSON.

    Raises:
        VideoError: the file can't be read or is over a limit.
    """
    cv2.setNumThreads(1)
    try:
        check_container(task.path)
        video = Video(task.path)
        return _work_for(task)(video)
    except HimmelError as error:
        said = str(error).replace(repr(str(task.path)), "the file")
        raise VideoError(said[:1].upper() + said[1:]) from error


def _work_for(task: Task) -> Callable[[Video], dict[str, Any]]:
    if isinstance(task, LineTask):
        return partial(_read_line, task)
    if isinstance(task, CutsTask):
        return lambda video: {"cuts": find_cuts(video, 0.0, video.duration, backend=task.backend, threads=1)}
    return _read_bits if isinstance(task, BitsTask) else partial(_read_pictures, task)


def _read_line(task: LineTask, video: Video) -> dict[str, Any]:
    _check(video, task.limits)
    found = video.decompose(
        num_anchors=min(task.num_anchors, video.num_frames),
        anchor_mode=task.anchor_mode,
        steps_per_interval=task.steps_per_interval,
        backend=task.backend,
        max_anchor_pixels=1,
        threads=1,
    )
    maps = [interval.maps for interval in found.intervals]
    factor = LONGEST_SIDE / max(found.width, found.height)
    return {
        "codec": found.codec,
        "width": found.width,
        "height": found.height,
        "duration": found.duration,
        "rate": found.average_rate,
        "keyframes": len(video.keyframes),
        "times": [round(time, 4) for time in video.times.tolist()],
        "anchors": [
            {"frame": one.frame, "time": one.time, "keyframe": one.keyframe, "reason": one.reason}
            for one in found.anchors
        ],
        "intervals": [
            {"start": one.start, "stop": one.stop, "frames": one.frames.tolist(), "times": one.times.tolist()}
            for one in found.intervals
        ],
        "backend": found.backend,
        "reason": found.backend_reason,
        "residual": found.residual_kind,
        "vectors": found.num_vectors,
        "notes": found.notes,
        "seconds": found.seconds,
        "scale": Scale(
            displayed=(found.width, found.height),
            size=(max(1, round(factor * found.width)), max(1, round(factor * found.height))),
            cell=found.cell,
            speed=full_speed(maps),
            residual=full_residual(maps),
            brisk=brisk_speed(maps),
        ),
    }


def _read_bits(video: Video) -> dict[str, Any]:
    count = min(video.num_frames, MOST_COUNTED)
    frames = np.unique(np.linspace(0, video.num_frames - 1, count).round().astype(np.int64))
    spent = video.spending(frames, steps=0, threads=1)
    return {
        "frames": frames.tolist(),
        "bits": spent.bits.tolist(),
        "intra": [None if math.isnan(share) else round(share, 4) for share in spent.intra.tolist()],
        "notes": spent.notes,
    }


def _read_pictures(task: PicturesTask, video: Video) -> dict[str, Any]:
    stop = min(task.first + WINDOW, video.num_frames)
    read = {one.frame: one for one in video.pictures(start=task.first, stop=stop, backend=task.backend)}
    size = task.scale.size
    wanted = list(range(task.first, stop))
    found = video.frames(wanted, max_pixels=4 * size[0] * size[1], threads=1).frames
    images = {one.frame: _sized(one.image, size) for one in found}
    return {"pictures": [_tell(frame, images.get(frame), read.get(frame), task.scale) for frame in wanted]}


def _tell(frame: int, image: Image | None, picture: Picture | None, scale: Scale) -> dict[str, Any]:
    told: dict[str, Any] = {"frame": frame, "picture": _jpeg(image)}
    if picture is None:
        return told
    maps = maps_of(picture)
    how: dict[str, Any] = {"displayed": scale.displayed, "cell": scale.cell, "size": scale.size}
    arrows = None
    if image is not None:
        arrows = image.copy()
        draw_arrows(arrows, maps, scale)
    motion = motion_picture(maps, full=scale.speed, **how)
    residual = residual_picture(maps, full=scale.residual, **how)
    return told | {
        "type": picture.type,
        "keyframe": picture.keyframe,
        "bits": picture.bits,
        "quantiser": None if math.isnan(picture.quantiser) else round(picture.quantiser, 1),
        "vectors": picture.num_vectors,
        "damaged": picture.damaged,
        "arrows": _jpeg(arrows),
        "motion": data_address(compress(motion, ".png"), "image/png"),
        "residual": data_address(compress(residual, ".png"), "image/png"),
    }


def _jpeg(image: Image | None) -> str | None:
    return None if image is None else data_address(compress(image, ".jpg"), "image/jpeg")


def _sized(image: Image, size: tuple[int, int]) -> Image:
    shrinks = image.shape[1] > size[0]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC).astype(
        np.uint8, copy=False
    )


def _check(video: Video, limits: Limits) -> None:
    if video.width * video.height > limits.pixels:
        raise VideoError(
            f"A picture of {video.width} x {video.height} pixels has more than the {limits.pixels:,} that are read "
            "here; take a smaller video."
        )
    if video.duration > limits.duration:
        raise VideoError(
            f"The video lasts {video.duration:,.0f} seconds and at most {limits.duration:,.0f} are read here; take a "
            "shorter one."
        )


def _explain(failure: Failure, limits: Limits) -> str:
    said = {
        "time": f"Reading the video takes more than {limits.read_seconds:g} seconds; take a shorter or smaller one.",
        "memory": f"Reading the video takes more than {limits.read_bytes >> 20:,} MB of memory; take a smaller one.",
        "crash": "Reading the video ended the process that read it; the file is damaged, encode it again.",
        "unexpected": "The video cannot be read; encode it again.",
    }
    return said.get(failure.cause, failure.said)
