"""A time line in words, and within a budget."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.errors import UsageError
from himmel.video.describe import Box, CameraMotion, CameraSegment, Cut, MovingRegion, Samples, Timeline
from himmel.video.describe.words import camera_words, place_of

STILL = CameraMotion()


def region(start: float, end: float, *, dx: float = 20, area: float = 4) -> MovingRegion:
    return MovingRegion(start, end, Box(10, 10, 20, 20), Box(40, 80, 50, 90), dx, 0, "right", area, 9)


def timeline(
    camera: list[CameraSegment], regions: list[MovingRegion] | None = None, cuts: tuple[float, ...] = ()
) -> Timeline:
    return Timeline(
        path="clip.mp4",
        codec="h264",
        width=640,
        height=360,
        duration=camera[-1].end,
        backend="bitstream",
        backend_reason="because",
        num_frames=100,
        num_read=40,
        camera=tuple(camera),
        regions=tuple(regions or []),
        cuts=tuple(Cut(time, "keyframe") for time in cuts),
        samples=Samples(np.zeros(0), np.zeros((0, 4))),
        notes=(),
        seconds={},
    )


@pytest.mark.parametrize(
    ("motion", "words"),
    [
        (STILL, "is still"),
        (CameraMotion(1.2, -1.2, 1.0, 0.5), "is still"),
        (CameraMotion(pan=12), "pans right by 12 % a second"),
        (CameraMotion(pan=-12), "pans left by 12 % a second"),
        (CameraMotion(tilt=9), "tilts up by 9 % a second"),
        (CameraMotion(tilt=-9), "tilts down by 9 % a second"),
        (CameraMotion(zoom=8), "zooms in by 8 % a second"),
        (CameraMotion(zoom=-8), "zooms out by 8 % a second"),
        (CameraMotion(roll=7), "rolls clockwise by 7 degrees a second"),
        (CameraMotion(roll=-7), "rolls counterclockwise by 7 degrees a second"),
        (CameraMotion(pan=10, tilt=-20), "tilts down by 20 % a second and pans right by 10 % a second"),
        # Small beside the other: not worth a word.
        (CameraMotion(pan=40, tilt=2), "pans right by 40 % a second"),
    ],
)
def test_what_the_camera_does(motion: CameraMotion, words: str) -> None:
    assert camera_words(motion) == words


def test_places_are_thirds_of_the_picture() -> None:
    assert place_of(Box(0, 0, 10, 10)) == "top left"
    assert place_of(Box(45, 45, 55, 55)) == "middle"
    assert place_of(Box(80, 30, 100, 60)) == "middle right"
    assert place_of(Box(30, 90, 60, 100)) == "bottom middle"


def test_a_still_clip_says_that_nothing_moves() -> None:
    assert timeline([CameraSegment(0, 4, STILL)]).sentences() == ["0.0-4.0 s: nothing moves."]


def test_every_event_is_told_in_order() -> None:
    whole = timeline(
        [CameraSegment(0, 2, STILL), CameraSegment(2, 5, CameraMotion(pan=12)), CameraSegment(5, 8, None)],
        [region(0.5, 1.5)],
        (5.0,),
    )
    assert whole.text() == (
        "Motion in the video (8.0 s; % are of the picture's width or height):\n"
        "Cut to another scene at 5.0 s.\n"
        "0.0-2.0 s: the camera is still.\n"
        "0.5-1.5 s: something from the top left to the bottom middle moves right by 20 % a second (4 % of the"
        " picture).\n"
        "2.0-5.0 s: the camera pans right by 12 % a second.\n"
        "5.0-8.0 s: how the camera moves cannot be told."
    )


def test_neighbours_that_are_told_alike_are_one() -> None:
    camera = [
        CameraSegment(0, 2, CameraMotion(pan=10)),
        CameraSegment(2, 4, CameraMotion(pan=13)),
        CameraSegment(4, 6, CameraMotion(pan=40)),
    ]
    assert timeline(camera).sentences() == [
        "0.0-4.0 s: the camera pans right by 12 % a second.",
        "4.0-6.0 s: the camera pans right by 40 % a second.",
    ]
    # A cut keeps them apart.
    assert len(timeline(camera, cuts=(2.0,)).sentences()) == 4


def test_many_cuts_are_counted() -> None:
    cuts = tuple(float(k) for k in range(1, 60))
    camera = [CameraSegment(k, k + 1, STILL) for k in range(60)]
    assert timeline(camera, cuts=cuts).sentences()[0] == "59 cuts to other scenes, from 1.0 to 59.0 s."


def test_shaking() -> None:
    assert timeline([CameraSegment(0, 4, STILL, 9.0)]).sentences() == ["0.0-4.0 s: the camera shakes."]


def test_what_matters_most_is_kept() -> None:
    moving = CameraSegment(4, 8, CameraMotion(pan=30))
    long = timeline([CameraSegment(0, 4, STILL), moving], [region(1, 1.4, area=0.3), region(0, 3, dx=60, area=20)])
    text = long.text(budget=56)
    assert "pans right by 30" in text
    assert "moves right by 60" in text
    assert "2 less important events are left out." in text


@settings(max_examples=60)
@given(st.integers(25, 400), st.integers(0, 30), st.integers(0, 30))
def test_the_text_fits_in_the_budget_by_whatever_counts_it(budget: int, cameras: int, regions: int) -> None:
    camera = [CameraSegment(k, k + 1, CameraMotion(pan=10.0 * (-1) ** k * (1 + k))) for k in range(cameras + 1)]
    told = timeline(camera, [region(k, k + 1, dx=5.0 + k) for k in range(regions)])
    for count, limit in ((None, budget), (len, 6 * budget + 150)):
        text = told.text(budget=limit, count=count)
        assert (len(text) if count else len(text.split())) <= limit
        lines = text.splitlines()
        kept = [line for line in lines[1:] if not line.endswith("left out.")]
        assert set(kept) <= set(told.sentences())
        left_out = len(told.sentences()) - len(kept)
        assert (lines[-1].split()[0] == str(left_out)) == (left_out > 0)


def test_a_budget_that_holds_nothing_is_refused() -> None:
    told = timeline([CameraSegment(0, 4, CameraMotion(pan=9)), CameraSegment(4, 8, STILL)])
    with pytest.raises(UsageError, match=r"budget=3 is too small.*takes \d+"):
        told.text(budget=3)
    with pytest.raises(UsageError, match=r"budget=2\.5 is no whole number"):
        told.text(budget=2.5)  # type: ignore[arg-type]


def test_json_has_all_of_it() -> None:
    told = timeline([CameraSegment(0, 4, None)], [region(0, 1)], (2.0,)).to_dict()
    assert told["camera"] == [{"start": 0, "end": 4, "motion": None, "shake": 0.0}]
    assert told["regions"][0]["first_box"] == [10, 10, 20, 20]
    assert told["regions"][0]["speed"] == 20
    assert told["cuts"] == [{"time": 2.0, "reason": "keyframe"}]
    assert "samples" not in told


def test_a_region_names_its_speed_in_both_directions() -> None:
    assert replace(region(0, 1), dx=3.0, dy=-4.0).speed == 5
