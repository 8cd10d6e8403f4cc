"""EVS against its definition, written as loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from himmel.errors import HostError
from himmel.methods.reduction.evs import evs
from himmel.methods.reduction.tokens import FrameTokens
from vision_tokens import cosine, kept_lists, random_tokens, rows


def literal(tokens: FrameTokens, keep: float) -> list[list[int]]:
    frames = rows(tokens)
    size = len(frames[0])
    ranked = [(-255.0, 0, place) for place in range(size)]
    for number in range(1, len(frames)):
        for place in range(size):
            ranked.append((cosine(frames[number][place], frames[number - 1][place]) - 1, number, place))
    ranked.sort()
    chosen = ranked[: max(size, int(size * len(frames) * keep + 1e-9))]
    return [sorted(place for _, frame, place in chosen if frame == number) for number in range(len(frames))]


@given(
    st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]), st.integers(0)
)
def test_as_the_paper_says(frames: int, height: int, width: int, keep: float, seed: int) -> None:
    tokens = random_tokens(*[(height, width)] * frames, seed=seed % 2**32)
    assert kept_lists(evs(tokens, keep=keep)) == literal(tokens, keep)


def test_a_still_video_keeps_its_first_frame_and_ties_go_to_the_earlier_token() -> None:
    frame = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    still = FrameTokens.of([frame] * 4, [(2, 3)] * 4)
    assert kept_lists(evs(still, keep=0.25)) == [list(range(6)), [], [], []]
    # Equal vectors can differ from each other in cosine by rounding; zero vectors cannot.
    blank = FrameTokens.of([torch.zeros(6, 4)] * 4, [(2, 3)] * 4)
    assert kept_lists(evs(blank, keep=0.5)) == [list(range(6)), list(range(6)), [], []]


def test_only_what_changes_is_kept_of_a_later_frame() -> None:
    frame = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    changed = frame.clone()
    changed[4] = -changed[4]
    tokens = FrameTokens.of([frame, changed, changed], [(3, 3)] * 3)
    assert kept_lists(evs(tokens, keep=10 / 27 + 1e-6)) == [list(range(9)), [4], []]


def test_the_first_frame_is_kept_whole_whatever_the_budget() -> None:
    assert kept_lists(evs(random_tokens((2, 2), (2, 2)), keep=0.1)) == [[0, 1, 2, 3], []]


def test_half_precision_is_compared_in_float32() -> None:
    tokens = random_tokens((3, 3), (3, 3), (3, 3), width=64)
    half = FrameTokens(features=tokens.features.bfloat16(), grids=tokens.grids)
    assert kept_lists(evs(half, keep=0.6)) == literal(half, 0.6)


def test_frames_of_different_grids_have_no_common_places() -> None:
    with pytest.raises(HostError, match=r"Frame 1 has 2 x 3 tokens and frame 0 has 2 x 2; evs"):
        evs(random_tokens((2, 2), (2, 3)))
