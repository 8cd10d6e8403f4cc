"""Rendered and encoded clips, with the real emoji, photographs and codec."""

import dataclasses
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from himmel.errors import HimmelError
from himmel.nano.catalogue import CAMERA_MOTIONS, DIRECTIONS, EMOJI, HELD_OUT_EMOJI
from himmel.nano.clips import FIRST_EVAL_SEED, SIZE, ClipSpec, Thing, ground_truth
from himmel.nano.draw import draw_spec
from himmel.nano.kinds import Kind
from himmel.nano.pictures import thing_picture
from himmel.nano.render import clip_file, encode_clip_file, first_picture, render_clip
from himmel.video import StepMaps, Video

pytestmark = pytest.mark.assets


def short_specs(kind: Kind, number: int) -> list[ClipSpec]:
    """Evaluation clips in which each picture is sampled, so that vectors can be held against what was drawn."""
    found = (draw_spec(FIRST_EVAL_SEED + seed, "eval", kind) for seed in range(2000))
    return list(islice((spec for spec in found if max(spec.lengths) <= 10), number))


def decode(path: Path) -> tuple[NDArray[np.uint8], list[bool]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return np.stack([frame.to_ndarray() for frame in frames]), [bool(frame.key_frame) for frame in frames]


def test_every_emoji_is_drawn() -> None:
    for name in (*EMOJI, *HELD_OUT_EMOJI):
        picture = thing_picture(Thing(name, True, "", "", 40, 0, 0, 0))
        assert max(picture.shape[:2]) == 40
        assert picture[..., 3].mean() > 0.1, name


def test_every_anchor_shows_the_same() -> None:
    for spec in short_specs("direction", 4) + short_specs("action", 6):
        pictures = render_clip(spec)
        assert pictures.shape == (spec.num_pictures, SIZE, SIZE, 3)
        assert (pictures[list(spec.anchors)] == pictures[0]).all()
        moving = any(spec.acts) or any(spec.camera)
        assert bool((pictures != pictures[0]).any()) == moving


def test_decoded_anchors_hold_no_trace_of_the_motion(tmp_path: Path) -> None:
    """Other motion in the same scene, backwards and in other intervals, gives the same anchors bit for bit."""
    for spec in short_specs("count", 6) + short_specs("camera", 6):
        acts = tuple(act and dataclasses.replace(act, dx=-act.dy, dy=act.dx) for act in spec.acts[1:])
        camera = tuple(move and dataclasses.replace(move, dx=-move.dx, dy=-move.dy, growth=0.0) for move in spec.camera)
        lengths = spec.lengths
        spec = dataclasses.replace(spec, lengths=(max(lengths),) * len(lengths))
        other = dataclasses.replace(spec, acts=(*acts, spec.acts[0]), camera=camera[::-1])
        if any(a is not None and b is not None for a, b in zip(other.acts, other.camera, strict=True)):
            other = dataclasses.replace(other, camera=(None,) * len(camera))
        encode_clip_file(spec, tmp_path / "one.mp4")
        encode_clip_file(other, tmp_path / "other.mp4")
        one, keys = decode(tmp_path / "one.mp4")
        two, other_keys = decode(tmp_path / "other.mp4")
        anchors = list(spec.anchors)
        assert np.flatnonzero(keys).tolist() == anchors
        assert keys == other_keys
        assert np.array_equal(one[anchors], two[anchors])


def test_the_file_is_the_same_each_time_and_whole(tmp_path: Path) -> None:
    spec = draw_spec(7)
    for name in ("a.mp4", "b.mp4"):
        encode_clip_file(spec, tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
    with clip_file(spec) as path:
        assert path.read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert not path.exists()
    with pytest.raises(HimmelError, match="Cannot write"):
        encode_clip_file(spec, tmp_path / "missing" / "c.mp4")


def test_what_drifts_stays_where_it_went() -> None:
    spec = draw_spec(3, "train", "direction", returns=False)
    pictures = render_clip(spec)
    starts = (*spec.anchors, spec.num_pictures - 1)
    for index, (act, camera) in enumerate(zip(spec.acts, spec.camera, strict=True)):
        changed = bool((pictures[starts[index]] != pictures[starts[index + 1]]).any())
        assert changed == (act is not None or camera is not None)


@pytest.mark.parametrize("returns", [True, False])
def test_the_rendered_camera_moves_by_the_ground_truth(returns: bool) -> None:
    """Oracle: an affine motion fitted to corners that Lucas and Kanade's method follows."""
    checked = 0
    for seed in range(8):
        spec = draw_spec(seed, "train", "camera", returns=returns)
        pictures, truth = render_clip(spec), ground_truth(spec)
        for index, camera in enumerate(spec.camera):
            if camera is None:
                continue
            first = spec.anchors[index] + camera.start + 1
            matrix = fit_affine(pictures[first], pictures[first + 1])
            growth = np.log(matrix[0, 0]) * 100
            centre = matrix @ (SIZE / 2 - 0.5, SIZE / 2 - 0.5, 1) - (SIZE / 2 - 0.5)
            dx, dy = centre * 100 / SIZE
            assert growth == pytest.approx(truth.values[index, 5], abs=0.35)
            if camera.growth == 0:
                assert (dx, dy) == pytest.approx(truth.values[index, 3:5], abs=0.12)
            checked += 1
    assert checked > 8


def fit_affine(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float64]:
    old, new = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, after))
    corners = cv2.goodFeaturesToTrack(old, 150, 0.01, 5)
    followed, status, _ = cv2.calcOpticalFlowPyrLK(old, new, corners, np.empty_like(corners), winSize=(15, 15))
    good = status.ravel() == 1
    matrix, _ = cv2.estimateAffinePartial2D(corners[good], followed[good], ransacReprojThreshold=0.5)
    return np.asarray(matrix, np.float64)


def velocity(maps: StepMaps) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Displacement per picture, and how much of a cell is known: past and future by their distances."""
    total, weight = np.zeros_like(maps.past), np.zeros_like(maps.past_valid)
    for vectors, valid, distance in (
        (maps.past, maps.past_valid, maps.past_distance),
        (maps.future, maps.future_valid, maps.future_distance),
    ):
        total += vectors / np.maximum(distance, 1)[:, None, None, None] * valid[:, None]
        weight += valid
    return total / np.maximum(weight, 1e-6)[:, None], weight


def centre(picture: NDArray[np.uint8], plain: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Where a picture differs from another: centre of mass, and how many pixels do."""
    changed = (picture.astype(int) - plain).__abs__().max(-1) > 24
    y, x = np.nonzero(changed)
    return float(x.mean()), float(y.mean()), float(changed.sum())


@pytest.mark.parametrize("action", ["shakes", "jumps", "spins", "grows", "vanishes"])
def test_a_thing_acts_as_it_is_said_to(action: str) -> None:
    """Oracle: pixels that differ from the clip without the thing."""
    specs = (draw_spec(seed, "train", "action") for seed in range(400))
    found = [spec for spec in specs if max(spec.lengths) <= 10 and any(a and a.action == action for a in spec.acts)]
    for spec in found[:3]:
        index, act = next((index, act) for index, act in enumerate(spec.acts) if act is not None)
        without = tuple(thing for place, thing in enumerate(spec.things) if place != act.thing)
        plain = render_clip(dataclasses.replace(spec, things=without, acts=(None,) * len(spec.acts)))[0]
        first = spec.anchors[index] + act.start
        pictures = render_clip(spec)[first : first + act.steps + 1]
        shown = [bool((picture != plain).any()) for picture in pictures]
        if action == "vanishes":
            assert shown == [True, *[False] * (act.steps - 1), True]
            continue
        assert all(shown)
        x, y, size = np.array([centre(picture, plain) for picture in pictures]).T
        if action == "shakes":
            assert np.ptp(x) > 4
            assert np.ptp(y) < 2
        elif action == "jumps":
            assert y.max() - y.min() > 5
            assert y.max() < y[0] + 1
            assert np.ptp(x) < 2
        elif action == "spins":
            assert max(np.ptp(x), np.ptp(y)) < 6
            assert (pictures[1:-1] != pictures[0]).any(axis=(1, 2, 3)).all()
        else:
            assert (np.diff(size) > 0).mean() > 0.7
            assert size[-1] > 1.4 * size[0]


@pytest.mark.parametrize("kind", ["appears", "disappears", "turns"])
def test_a_change_lasts(kind: str) -> None:
    specs = (draw_spec(seed, "train", "state") for seed in range(200))
    spec = next(spec for spec in specs if spec.change is not None and spec.change.kind == kind)
    assert spec.change
    pictures = render_clip(spec)
    happens = spec.anchors[spec.change.interval] + spec.change.start
    thing = spec.things[spec.change.thing]
    at = (slice(None), round(thing.y), round(thing.x))
    before, after = pictures[: happens + 1], pictures[happens + 1 :]
    assert (before == before[0]).all()
    assert (after == after[0]).all()
    assert (before[at][0] != after[at][0]).any()


def test_the_first_picture_is_the_first_of_all() -> None:
    for seed in range(4):
        spec = draw_spec(seed)
        assert np.array_equal(first_picture(spec), render_clip(spec)[0])


@pytest.mark.parametrize("backend", ["bitstream", "libav"])
def test_vectors_of_the_file_tell_where_a_thing_goes(backend: str) -> None:
    """Directions one by one; speeds one by one where distances are guessed, and in the median where they are exact.

    A vector that reaches back past the beginning of a move rightly tells the mean speed of rest and move together.
    """
    ratios = []
    for spec in short_specs("direction", 8):
        with clip_file(spec) as path:
            decomposition = Video(path).decompose(backend=backend)
        assert tuple(anchor.frame for anchor in decomposition.anchors) == spec.anchors
        for interval, act in zip(decomposition.intervals, spec.acts, strict=True):
            if act is None:
                continue
            flow, weight = velocity(interval.maps)
            moving = (np.hypot(flow[:, 0], flow[:, 1]) > 0.5) & (weight > 0.3)
            seen = flow.transpose(0, 2, 3, 1)[moving]
            along = {name: float((seen @ np.array(unit)).sum()) for name, unit in DIRECTIONS.items()}
            assert max(along, key=lambda name: along[name]) == act.direction
            ratios.append(np.median(seen @ np.array(DIRECTIONS[act.direction])) / np.hypot(act.dx, act.dy))
    assert len(ratios) > 8
    assert max(ratios) <= 1.6
    if backend == "libav":
        assert min(ratios) >= 0.4
    else:
        assert np.median(ratios) == pytest.approx(1, abs=0.1)


def test_vectors_of_the_file_tell_what_the_camera_does() -> None:
    for spec in short_specs("camera", 8):
        with clip_file(spec) as path:
            decomposition = Video(path).decompose()
        for interval, camera in zip(decomposition.intervals, spec.camera, strict=True):
            if camera is None:
                continue
            flow, _ = velocity(interval.maps)
            rows, columns = flow.shape[2:]
            y, x = np.mgrid[:rows, :columns]
            x, y = (x + 0.5) / columns - 0.5, (y + 0.5) / rows - 0.5
            mean = flow[camera.start : camera.start + camera.steps].mean(0)
            seen = np.array(
                # Pixels a picture at the edge, of a typical pan and of a typical zoom, on one scale.
                [mean[0].mean(), mean[1].mean(), (mean[0] * x + mean[1] * y).mean() / (x * x + y * y).mean() / 2]
            )
            scores = {name: float(seen @ np.array(signs)) for name, signs in CAMERA_MOTIONS.items()}
            assert max(scores, key=lambda name: scores[name]) == spec.camera_motion
