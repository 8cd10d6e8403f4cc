"""ToMe against its definition, written as loops."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from himmel.methods.reduction.tokens import FrameTokens
from himmel.methods.reduction.tome import tome
from vision_tokens import cosine, random_tokens, rows


def literal(frame: list[list[float]], size: int) -> dict[int, set[int]]:
    """Kept token -> the tokens that it is the mean of."""
    groups = {place: {place} for place in range(len(frame))}
    while len(groups) > size:
        alive = sorted(groups)
        values = {
            place: [
                sum(frame[member][c] for member in groups[place]) / len(groups[place]) for c in range(len(frame[0]))
            ]
            for place in alive
        }
        ones, others = alive[::2], alive[1::2]
        edges = []
        for one in ones:
            likeness = {other: cosine(values[one], values[other]) for other in others}
            best = max(others, key=lambda other: (likeness[other], -other))
            edges.append((-likeness[best], one, best))
        edges.sort()
        for _, one, best in edges[: min(len(alive) - size, len(alive) // 2)]:
            groups[best] |= groups.pop(one)
    return groups


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=4),
    st.sampled_from([0.1, 0.25, 0.4, 0.5, 0.9, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_as_the_paper_says(grids: list[tuple[int, int]], keep: float, seed: int) -> None:
    tokens = random_tokens(*grids, seed=seed)
    reduction = tome(tokens, keep=keep)
    assert reduction.num_kept == max(len(grids), int(tokens.total * keep + 1e-9))
    values = iter(reduction.apply(tokens.features))
    first = 0
    for frame, kept in zip(rows(tokens), reduction.kept, strict=True):
        groups = literal(frame, len(kept))
        assert kept.tolist() == sorted(groups)
        for place in sorted(groups):
            members = sorted(groups[place])
            assert (reduction.into == first + place).nonzero()[:, 0].tolist() == [first + one for one in members]
            torch.testing.assert_close(next(values), torch.tensor([frame[one] for one in members]).mean(0))
        first += len(frame)


def test_equal_tokens_merge_first_and_nothing_of_others_is_lost() -> None:
    frame = torch.eye(6)
    frame[4] = frame[3]
    reduction = tome(FrameTokens.of([frame], [(2, 3)]), keep=5 / 6 + 1e-7)
    assert reduction.into.tolist() == [0, 1, 2, 3, 3, 5]
    assert torch.equal(reduction.apply(frame), frame[[0, 1, 2, 3, 5]])
    assert reduction.num_merged == 1


def test_frames_share_the_budget_by_their_size() -> None:
    assert [len(part) for part in tome(random_tokens((4, 4), (2, 4)), keep=0.25).kept] == [4, 2]
