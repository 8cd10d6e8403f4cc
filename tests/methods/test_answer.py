"""What an answer records of a video, and the shares of its options."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from himmel.errors import HostError
from himmel.methods.answer import describe, share_out
from himmel.video import Video


def test_shares_add_up() -> None:
    found = share_out(["left", "right"], [-5.0, -9.0], [-1.0, -2.0])
    assert [one.log_likelihood for one in found] == [-5.0, -9.0]
    assert found[0].probability == pytest.approx(1 / (1 + math.exp(-1)))
    assert sum(one.probability for one in found) == pytest.approx(1)


def test_scores_that_are_no_numbers_are_no_answer() -> None:
    """As they are from a host whose weights were damaged on the disk."""
    with pytest.raises(HostError, match=r"not numbers.*himmel doctor"):
        share_out(["left", "right"], [-1.0, math.nan], [-1.0, math.nan])


def test_damaged_pictures_are_in_the_record(encode_clip: Callable[..., Path]) -> None:
    read = Video(encode_clip("d.mp4", num_frames=8)).decompose(num_anchors=2)
    assert describe(read, "0" * 64).num_damaged == 0
    assert describe(replace(read, num_damaged=3), "0" * 64).num_damaged == 3
