"""A decomposition as one NumPy archive, for people who want the streams as arrays."""

import json
import os
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from himmel._files import atomic_path
from himmel.video.results import Decomposition, StepMaps


def save_streams(decomposition: Decomposition, path: str | os.PathLike[str]) -> None:
    """Write anchors, steps and maps to an .npz file, whole or not at all.

    The archive holds, for n anchors and S steps of all intervals one after the other:
        anchor_frames int64 [n], anchor_times float64 [n] (seconds), anchor_keyframe bool [n],
        anchor_images uint8 [n, H, W, 3], interval_start and interval_stop int64 [n],
        step_interval int64 [S], step_frames int64 [S], step_times float64 [S],
        past, future, past_valid, future_valid, past_distance, future_distance, residual, covered as in `StepMaps` with
        S in place of F, rgb_difference likewise if it was requested,
        sound float32 [n, 4, 32] if it was requested,
        and about, a JSON text with the other attributes of the decomposition but `seconds`.

    Raises:
        HimmelError: the file can't be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        # A file object, since NumPy would add a suffix to a name without one.
        np.savez_compressed(file, allow_pickle=False, **stream_arrays(decomposition))


def stream_arrays(decomposition: Decomposition) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays that `save_streams` writes."""
    anchors, intervals = decomposition.anchors, decomposition.intervals
    counts = [len(interval.frames) for interval in intervals]
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "anchor_frames": np.array([anchor.frame for anchor in anchors], np.int64),
        "anchor_times": np.array([anchor.time for anchor in anchors], np.float64),
        "anchor_keyframe": np.array([anchor.keyframe for anchor in anchors], np.bool_),
        "anchor_images": np.stack([anchor.image for anchor in anchors]),
        "interval_start": np.array([interval.start for interval in intervals], np.int64),
        "interval_stop": np.array([interval.stop for interval in intervals], np.int64),
        "step_interval": np.repeat(np.arange(len(intervals), dtype=np.int64), counts),
        "step_frames": np.concatenate([interval.frames for interval in intervals]),
        "step_times": np.concatenate([interval.times for interval in intervals]),
        "about": np.array(json.dumps(_about(decomposition))),
    }
    for item in fields(StepMaps):
        arrays[item.name] = np.concatenate([getattr(interval.maps, item.name) for interval in intervals])
    differences = [interval.rgb_difference for interval in intervals if interval.rgb_difference is not None]
    if differences:
        arrays["rgb_difference"] = np.concatenate(differences)
    sounds = [interval.sound for interval in intervals if interval.sound is not None]
    if sounds:
        arrays["sound"] = np.stack(sounds)
    return arrays


def _about(decomposition: Decomposition) -> dict[str, Any]:
    """All attributes that are not arrays, except the time it took: the same video gives the same bytes again."""
    left_out = ("anchors", "intervals", "seconds")
    names = [item.name for item in fields(decomposition) if item.name not in left_out]
    return {name: getattr(decomposition, name) for name in names}
