"""Strips of all conditions as one picture."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from himmel.errors import UsageError
from himmel.methods.conditions.layout import LAYOUTS
from himmel.methods.conditions.show import show
from himmel.methods.conditions.strips import draw_strips
from himmel.video import Video


def test_a_picture_of_all_five_shows_the_pictures_in_rows(sliding: Callable[..., Path], tmp_path: Path) -> None:
    video = Video(sliding("a.mp4", (3, 0)))
    showings = [show(video, condition) for condition in LAYOUTS]
    for showing in showings:
        for shown in showing.pictures:
            # One colour each, so that they can be found again.
            shown.image[:] = {"frame": (0, 200, 0), "motion": (200, 0, 0), "residual": (0, 0, 200)}[shown.kind]
    draw_strips(showings, tmp_path / "a.png", title="a.mp4")
    picture = cv2.imread(str(tmp_path / "a.png"))
    found = {}
    for name, colour in {"frame": (0, 200, 0), "motion": (0, 0, 200), "residual": (200, 0, 0)}.items():
        count, *_ = cv2.connectedComponents((picture == colour).all(2).astype(np.uint8))
        found[name] = count - 1
    assert found == {"frame": 8 + 4 + 2, "motion": 4 + 3 + 8, "residual": 3 + 8}


def test_the_same_video_gives_the_same_bytes(sliding: Callable[..., Path], tmp_path: Path) -> None:
    showing = show(Video(sliding("a.mp4", (3, 0))), "C")
    for name in ("a.svg", "b.svg"):
        draw_strips([showing], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_name_without_a_format_is_refused(sliding: Callable[..., Path], tmp_path: Path) -> None:
    showing = show(Video(sliding("a.mp4", (3, 0))), "A")
    with pytest.raises(UsageError, match="which kind of picture"):
        draw_strips([showing], tmp_path / "strips")
    assert list(tmp_path.glob("strips*")) == []
