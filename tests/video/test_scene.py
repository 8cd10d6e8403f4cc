"""Anchors where scenes begin, found by what the encoder spent."""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.video import Video
from himmel.video.backends.choice import BACKENDS
from himmel.video.scene import place_scene_anchors, read_changes

Encode = Callable[..., Path]
Pan = Callable[..., Iterator[npt.NDArray[np.uint8]]]

LENGTHS = (34, 31, 46, 33, 50)
CUTS = np.cumsum(LENGTHS[:-1]).tolist()
FIXED = {"g": "20", "sc_threshold": "0"}


@pytest.fixture
def cut_together(encode_clip: Encode, pan: Pan) -> Callable[..., Video]:
    """Five scenes of a moving texture, each another one."""

    def make(codec: str = "libx264", options: dict[str, str] | None = None) -> Video:
        scenes = [pan(length, (160, 128), (1 + seed % 3, seed % 2), seed) for seed, length in enumerate(LENGTHS)]
        return Video(encode_clip("cut.mp4", chain(*scenes), codec=codec, options=options))

    return make


def changes(video: Video, *, parse: bool) -> dict[int, str]:
    backend = BACKENDS["bitstream" if parse else "libav"]
    return read_changes(video._file, look_closer=backend.intra_shares, most=32)


@pytest.mark.parametrize("parse", [False, True])
def test_keyframes_ahead_of_their_time_are_cuts(cut_together: Callable[..., Video], parse: bool) -> None:
    assert changes(cut_together(), parse=parse) == dict.fromkeys(CUTS, "keyframe")


@pytest.mark.parametrize(
    ("codec", "options", "parse", "told_by"),
    [
        ("libx264", FIXED, False, "bits"),
        ("libx264", FIXED, True, "intra"),
        ("libx264", {**FIXED, "bf": "0"}, True, "intra"),
        ("mpeg4", {"g": "20", "sc_threshold": "1000000000"}, False, "bits"),
    ],
)
def test_cuts_between_regular_keyframes(
    cut_together: Callable[..., Video], codec: str, options: dict[str, str], parse: bool, told_by: str
) -> None:
    video = cut_together(codec, options)
    assert video.keyframes.tolist() == list(range(0, sum(LENGTHS), 20))
    found = changes(video, parse=parse)
    assert set(found.values()) == {told_by}
    # The first picture of the new scene that others refer to; up to three B pictures are shown before it.
    assert len(found) == len(CUTS)
    for frame, cut in zip(found, CUTS, strict=True):
        assert 0 <= frame - cut <= 3


@pytest.mark.parametrize("parse", [False, True])
@pytest.mark.parametrize("options", [{}, FIXED, {"g": "1"}])
def test_one_scene_has_no_cut(encode_clip: Encode, options: dict[str, str], parse: bool) -> None:
    assert changes(Video(encode_clip("pan.mp4", num_frames=90, options=options)), parse=parse) == {}


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_pictures(encode_clip: Encode, count: int) -> None:
    anchors = Video(encode_clip("few.mp4", num_frames=count)).decompose(num_anchors=8, anchor_mode="scene").anchors
    assert [anchor.frame for anchor in anchors] == list(range(count))


def test_intra_shares_are_those_of_the_pictures(cut_together: Callable[..., Video]) -> None:
    video = cut_together("libx264", {**FIXED, "bf": "0"})
    with av.open(str(video.path)) as container:
        kinds = [av.video.frame.PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    # Without B pictures the order of decoding is that of showing.
    shares = BACKENDS["bitstream"].intra_shares(video._file, list(range(len(kinds))))
    assert shares is not None
    assert all(shares[k] == 1 for k, kind in enumerate(kinds) if kind == "I")
    after_cuts = [shares[cut] for cut in CUTS if kinds[cut] == "P"]
    others = [shares[k] for k, kind in enumerate(kinds) if kind == "P" and k not in CUTS]
    assert min(after_cuts) > 0.9
    assert max(others) < 0.4


def test_each_scene_gets_an_anchor_and_says_why(cut_together: Callable[..., Video]) -> None:
    video = cut_together()
    anchors = video.decompose(num_anchors=7, anchor_mode="scene", steps_per_interval=2, threads=1).anchors
    assert {0, *CUTS} < {anchor.frame for anchor in anchors}
    assert [anchor.reason for anchor in anchors].count("keyframe") == len(CUTS)
    assert sorted({anchor.reason for anchor in anchors}) == ["coverage", "keyframe", "start"]
    assert all(anchor.keyframe == (anchor.reason != "coverage") for anchor in anchors)
    again = video.decompose(num_anchors=7, anchor_mode="scene", steps_per_interval=2, threads=3).anchors
    for one, other in zip(anchors, again, strict=True):
        assert (one.frame, one.reason) == (other.frame, other.reason)
        assert np.array_equal(one.image, other.image)
    assert {anchor.reason for anchor in video.decompose(num_anchors=2).anchors} == {"uniform"}


def test_too_few_anchors_go_to_the_longest_scenes(cut_together: Callable[..., Video]) -> None:
    found = cut_together().decompose(num_anchors=3, anchor_mode="scene", steps_per_interval=1)
    # The scenes of 46 and 50 pictures, and the first one.
    assert [anchor.frame for anchor in found.anchors] == [0, CUTS[1], CUTS[3]]


@st.composite
def cut_timelines(draw: st.DrawFn) -> tuple[npt.NDArray[np.float64], float, npt.NDArray[np.int64], dict[int, str]]:
    """Increasing times from 0, a duration beyond the last, keyframes and changes."""
    gaps = draw(st.lists(st.floats(1e-3, 5.0), min_size=0, max_size=60))
    times = np.concatenate(([0.0], np.cumsum(gaps)))
    last = len(times) - 1
    keys = np.array(sorted(draw(st.sets(st.integers(0, last)))), np.int64)
    begins = sorted(draw(st.sets(st.integers(1, last)))) if last else []
    return times, float(times[-1]) + draw(st.floats(1e-3, 2.0)), keys, dict.fromkeys(begins, "bits")


@given(cut_timelines(), st.integers(1, 70))
def test_scene_anchors_are_distinct_and_as_many_as_asked_or_there_are(
    timeline: tuple[npt.NDArray[np.float64], float, npt.NDArray[np.int64], dict[int, str]], num_anchors: int
) -> None:
    times, duration, keys, begins = timeline
    anchors, reasons = place_scene_anchors(times, duration, keys, begins, num_anchors)
    assert len(anchors) == len(reasons) == min(num_anchors, len(times))
    assert (np.diff(anchors) > 0).all()
    assert anchors[0] == 0
    assert anchors[-1] < len(times)
    assert [place for place, reason in enumerate(reasons) if reason == "start"] == [0]
    # Each anchor of a change is in the scene that it is for.
    for anchor, reason in zip(anchors.tolist(), reasons, strict=True):
        if reason == "bits":
            assert anchor in begins or anchor in keys
    starts = [0, *begins]
    scenes = np.searchsorted(
        starts, [a for a, r in zip(anchors, reasons, strict=True) if r != "coverage"], side="right"
    )
    assert len(set(scenes.tolist())) == len(scenes)


def test_a_keyframe_soon_after_a_change_is_cheaper() -> None:
    times = np.arange(100) / 25
    # Uniform spacing 1 s: an eighth of it are 3 pictures.
    anchors, reasons = place_scene_anchors(times, 4.0, np.array([0, 22, 54]), {20: "bits", 50: "intra"}, 4)
    assert anchors.tolist() == [0, 22, 50, 75]
    assert reasons == ("start", "bits", "intra", "coverage")


def test_fillers_split_the_longest_stretches() -> None:
    times = np.arange(100) / 25
    anchors, _ = place_scene_anchors(times, 4.0, np.array([0, 48]), {80: "bits"}, 5)
    # 3.2 s and 0.8 s: three more in the first, one of them at the keyframe near its place.
    assert anchors.tolist() == [0, 20, 40, 60, 80]
    near, _ = place_scene_anchors(times, 4.0, np.array([0, 42]), {80: "bits"}, 5)
    assert near.tolist() == [0, 20, 42, 60, 80]


def test_the_first_picture_stays_although_a_keyframe_follows() -> None:
    times = np.arange(12) / 25
    anchors, reasons = place_scene_anchors(times, 12 / 25, np.array([1, 5]), {4: "bits"}, 12)
    assert anchors.tolist() == list(range(12))
    assert reasons[0] == "start"
    assert place_scene_anchors(times, 10.0, np.array([1]), {}, 1)[0].tolist() == [0]
