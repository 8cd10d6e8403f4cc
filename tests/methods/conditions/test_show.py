"""What each condition shows of a clip, when, and how it is explained."""

import colorsys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from himmel.errors import VideoError
from himmel.methods.conditions.layout import LAYOUTS
from himmel.methods.conditions.show import Shown, show
from himmel.methods.parts import Image
from himmel.video import Video

Sliding = Callable[..., Path]


def letters(pictures: Sequence[Shown]) -> str:
    return "".join({"frame": "I", "motion": "M", "residual": "R"}[shown.kind] for shown in pictures)


def hue(image: Image) -> float:
    """Degrees of the mean colour of a picture's middle, away from content that comes in at an edge."""
    height, width = image.shape[:2]
    middle = image[height // 4 : -height // 4, width // 4 : -width // 4]
    return 360 * colorsys.rgb_to_hsv(*(middle.reshape(-1, 3).mean(0) / 255))[0]


@pytest.mark.parametrize(
    ("condition", "order"),
    [("A", "IIIIIIII"), ("B", "IMIMIMIM"), ("C", "IMMMIRRR"), ("D", "MMMMMMMM"), ("E", "RRRRRRRR")],
)
def test_eight_pictures_in_the_reports_order_and_in_the_order_of_time(
    condition: str, order: str, sliding: Sliding
) -> None:
    showing = show(Video(sliding("a.mp4", (2, 1))), condition)  # type: ignore[arg-type]
    assert letters(showing.pictures) == order
    times = [shown.time for shown in showing.pictures]
    assert times == sorted(times)
    assert len(set(times)) == 8
    assert {shown.image.shape for shown in showing.pictures} == {(192, 320, 3)}
    assert {shown.image.dtype for shown in showing.pictures} == {np.dtype(np.uint8)}
    assert showing.notes == ()


def test_frames_are_spread_evenly_and_maps_lie_in_the_stretch_after_their_frame(sliding: Sliding) -> None:
    """64 pictures at 25 a second: stretches of 8, 16 or 32 pictures, keyframes every 8."""
    video = Video(sliding("a.mp4", (2, 1)))
    at = {condition: [shown.frame for shown in show(video, condition).pictures] for condition in LAYOUTS}
    assert at["A"] == [0, 8, 16, 24, 32, 40, 48, 56]
    assert at["B"][::2] == [0, 16, 32, 48]
    assert at["C"][::4] == [0, 32]
    assert at["D"] == at["E"]
    for begins, ends, frame in zip(at["A"], [*at["A"][1:], 64], at["D"], strict=True):
        assert begins < frame < ends
    for begins, ends, frame in zip(at["B"][::2], [16, 32, 48, 64], at["B"][1::2], strict=True):
        assert begins < frame < ends
        # The middle of the stretch, or the picture after it where that is a keyframe, which holds no motion.
        assert frame - (begins + ends) / 2 in (0, 1)
    assert 0 < at["C"][1] < 11 < at["C"][2] < 22 < at["C"][3] < 32 < at["C"][5]


@pytest.mark.parametrize(
    ("velocity", "degrees"),
    [((3, 0), 0), ((0, 3), 90), ((-3, 0), 180), ((0, -3), 270)],
    ids=["right", "down", "left", "up"],
)
def test_colour_tells_the_direction_as_the_prompt_says(
    velocity: tuple[int, int], degrees: float, sliding: Sliding
) -> None:
    """Red is 0 degrees, yellow-green 90, cyan 180, violet 270."""
    showing = show(Video(sliding("a.mp4", velocity)), "D")
    for shown in showing.pictures:
        apart = abs(hue(shown.image) - degrees)
        assert min(apart, 360 - apart) < 25
    # 3 pixels of 320 at 25 pictures a second.
    assert showing.speed == pytest.approx(100 * 3 * 25 / 320, rel=0.1)
    assert f"full colour is {showing.speed:.0f}% of the picture's width a second" in str(showing.visual[0])


def test_what_does_not_move_is_white_and_has_no_residual(encode_clip: Callable[..., Path]) -> None:
    video = Video(encode_clip("still.mp4", "still", num_frames=40, options={"g": "8"}))
    moving, residual = show(video, "D"), show(video, "E")
    assert np.mean([shown.image.mean() for shown in moving.pictures]) > 250
    assert np.mean([shown.image.mean() for shown in residual.pictures]) < 10


def test_the_residual_is_bright_where_something_appears(encode_clip: Callable[..., Path]) -> None:
    """Dots that come from nowhere in the left half of each picture; the rest stays as it is."""
    noise = np.random.default_rng(5)
    pictures = []
    for _ in range(48):
        picture = np.full((128, 256, 3), 120, np.uint8)
        picture[32:96, 32:96] = noise.integers(0, 256, (64, 64, 1))
        pictures.append(picture)
    showing = show(Video(encode_clip("a.mp4", pictures, options={"g": "12", "bf": "0", "crf": "18"})), "E")
    for shown in showing.pictures:
        assert shown.image[40:88, 40:88].mean() > 100
        assert shown.image[:, 128:].mean() < 5


def test_maps_lie_where_the_frames_show_what_moves(encode_clip: Callable[..., Path]) -> None:
    """A square that moves on a still ground of a size that is no multiple of a cell."""
    # With texture, or vectors of the ground beside the square would cost nothing.
    ground = (
        np.random.default_rng(3).integers(0, 256, (19, 32, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)[:150, :250]
    )
    square = np.random.default_rng(1).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    pictures = []
    for k in range(48):
        picture = ground.copy()
        picture[50:98, 20 + 2 * k : 68 + 2 * k] = square
        pictures.append(picture)
    showing = show(Video(encode_clip("a.mp4", pictures, options={"g": "6", "bf": "0", "crf": "18"})), "D")
    for shown in showing.pictures:
        coloured = np.ptp(shown.image.astype(int), axis=2) > 60
        rows, columns = np.nonzero(coloured)
        assert abs(rows.mean() - 74) < 8
        assert abs(columns.mean() - (44 + 2 * shown.frame)) < 8


def test_pictures_are_shrunk_to_one_size_and_never_enlarged(sliding: Sliding) -> None:
    video = Video(sliding("a.mp4", (2, 1)))
    for condition in LAYOUTS:
        assert {shown.image.shape for shown in show(video, condition, longest=100).pictures} == {(60, 100, 3)}
    assert {shown.image.shape for shown in show(video, "C", longest=4000).pictures} == {(192, 320, 3)}


@pytest.mark.parametrize("condition", LAYOUTS)
def test_the_prompt_names_each_picture_before_it_and_explains_the_kinds_that_are_there(
    condition: str, sliding: Sliding
) -> None:
    showing = show(Video(sliding("a.mp4", (2, 1))), condition)  # type: ignore[arg-type]
    parts = showing.visual
    pictures = [part for part in parts if not isinstance(part, str)]
    assert all(sent is shown.image for sent, shown in zip(pictures, showing.pictures, strict=True))
    for number, shown in enumerate(showing.pictures):
        line = str(parts[2 * number + 1])
        assert line.startswith(f"\nPicture {number + 1}, {shown.kind}")
        assert f"at 0:0{shown.time:.1f}:" in line
    order = letters(showing.pictures)
    assert ("motion map shows" in str(parts[0])) == ("M" in order)
    assert ("residual map shows" in str(parts[0])) == ("R" in order)


def test_a_clip_of_few_pictures_shows_fewer_and_says_so(sliding: Sliding) -> None:
    showing = show(Video(sliding("a.mp4", (2, 1), 5)), "B")
    assert letters(showing.pictures) == "IIMII"
    assert showing.notes[-1] == "Condition B shows 5 pictures of this video in place of 8."


def test_a_single_picture_has_no_map_to_show(sliding: Sliding) -> None:
    path = sliding("a.mp4", (2, 1), 1)
    assert letters(show(Video(path), "A").pictures) == "I"
    with pytest.raises(VideoError, match="condition D has nothing to show"):
        show(Video(path), "D")


def test_a_file_without_vectors_shows_estimated_motion(encode_clip: Callable[..., Path]) -> None:
    showing = show(Video(encode_clip("a.webm", _slide(48), codec="libvpx-vp9", options={"g": "8"})), "D")
    assert letters(showing.pictures) == "MMMMMMMM"
    apart = [min(hue(shown.image), 360 - hue(shown.image)) for shown in showing.pictures]
    assert float(np.median(apart)) < 25


def _slide(count: int) -> list[Image]:
    whole = np.random.default_rng(2).integers(0, 256, (24, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.ascontiguousarray(whole[:, 200 - 3 * k : 520 - 3 * k]) for k in range(count)]


def test_it_prints_what_it_shows_without_the_pictures(sliding: Sliding) -> None:
    showing = show(Video(sliding("a.mp4", (2, 1))), "B")
    assert "Shown('motion', frame=8, time=0.320, image=uint8[192, 320, 3])" in repr(showing) or "frame=9" in repr(
        showing
    )
    assert len(repr(showing)) < 1000
