"""VidCom2 against its definition, written as loops."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from himmel.methods.reduction.tokens import FrameTokens
from himmel.methods.reduction.vidcom2 import vidcom2
from vision_tokens import kept_lists, random_tokens, rows


def mean(vectors: list[list[float]]) -> list[float]:
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def likeness(token: list[float], centre: list[float]) -> float:
    squared = sum((a - b) ** 2 for a, b in zip(token, centre, strict=True))
    return sum(math.exp(-squared / (2 * 2.0**power)) for power in (-3, -2, -1, 0, 1))


def literal(tokens: FrameTokens, keep: float) -> list[list[int]]:
    frames = rows(tokens)
    everything = [token for frame in frames for token in frame]
    centre = mean(everything)
    variance = [sum((token[c] - centre[c]) ** 2 for token in everything) for c in range(len(centre))]
    channels = sorted(range(len(centre)), key=lambda c: (variance[c], c))[: max(1, len(centre) // 2)]
    scaled = []
    for frame in frames:
        cut = [[token[c] for c in channels] for token in frame]
        scaled.append([[value / math.sqrt(sum(v * v for v in token)) for value in token] for token in cut])
    video_centre = mean([token for frame in scaled for token in frame])
    video = [[likeness(token, video_centre) for token in frame] for frame in scaled]
    both = [
        [own + likeness(token, mean(frame)) for own, token in zip(scores, frame, strict=True)]
        for scores, frame in zip(video, scaled, strict=True)
    ]
    scores = [-sum(frame) / len(frame) for frame in video]
    exponents = [math.exp((score - max(scores)) / 0.01) for score in scores]
    chances = [value / sum(exponents) for value in exponents]
    kept: set[tuple[int, int]] = set()
    for number, frame in enumerate(both):
        share = min(1.0, keep * (1 + chances[number] - 1 / len(frames)))
        size = min(len(frame), max(1, round(share * len(frame))))
        order = sorted(range(len(frame)), key=lambda place: (frame[place], place))
        kept |= {(number, place) for place in order[:size]}
    everyone = [(number, place) for number, frame in enumerate(both) for place in range(len(frame))]
    wanted = max(len(frames), int(len(everyone) * keep + 1e-9))
    while len(kept) > wanted:
        kept.remove(max(kept, key=lambda one: (both[one[0]][one[1]], (-one[0], -one[1]))))
    while len(kept) < wanted:
        left = [one for one in everyone if one not in kept]
        kept.add(min(left, key=lambda one: (both[one[0]][one[1]], one)))
    return [sorted(place for frame, place in kept if frame == number) for number in range(len(frames))]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6),
    # Shares of whole tokens would be rounded by the last bit of a float.
    st.sampled_from([0.137, 0.261, 0.533, 0.871, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_as_the_authors_code_does_with_the_total_corrected(
    grids: list[tuple[int, int]], keep: float, seed: int
) -> None:
    tokens = random_tokens(*grids, seed=seed)
    assert kept_lists(vidcom2(tokens, keep=keep)) == literal(tokens, keep)


def test_a_frame_unlike_the_others_gets_more() -> None:
    chance = torch.Generator().manual_seed(0)
    base = torch.randn(1, 16, generator=chance)
    frames = [base + 0.05 * torch.randn(16, 16, generator=chance) for _ in range(5)]
    frames[3] = -base + 0.05 * torch.randn(16, 16, generator=chance)
    sizes = [len(part) for part in vidcom2(FrameTokens.of(frames, [(4, 4)] * 5)).kept]
    assert sum(sizes) == 20
    assert sizes[3] == max(sizes) > 4


def test_a_frame_keeps_what_stands_out() -> None:
    chance = torch.Generator().manual_seed(0)
    frame = torch.ones(16, 16) + 0.05 * torch.randn(16, 16, generator=chance)
    frame[5] = torch.tensor([1.5, 0.5]).repeat(8)
    kept = vidcom2(FrameTokens.of([frame, frame], [(4, 4)] * 2), keep=0.0625).kept
    assert [part.tolist() for part in kept] == [[5], [5]]


def test_every_token_alike_keeps_the_earlier_ones() -> None:
    alike = FrameTokens.of([torch.ones(8, 4)] * 2, [(2, 4)] * 2)
    assert kept_lists(vidcom2(alike, keep=0.5)) == [[0, 1, 2, 3], [0, 1, 2, 3]]
