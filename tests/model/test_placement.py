"""Five placements, one index: each is the dense one-hot product, on every host."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from himmel.hosts import Run
from himmel.hosts.positions import plain_positions, time_row_column_positions
from himmel.model import HimmelProcessor
from himmel.model.injection import inject, token_rows
from himmel.model.placement import PLACEMENTS, Placement, motion_grid, place, repeated_tokens, repeats
from himmel.model.salience import predict_salience
from tiny_hosts import Setup

ASK = [("What moves?", None)]
PAD = 9


def placed(
    placement: str, *, anchors: int = 3, intervals: int = 3, tokens: int = 4, salience: tuple[float, ...] = ()
) -> Placement:
    """Pictures are one token each, numbered from 100."""
    return place(
        [[Run("image", (100 + index,), grid=(1, 1))] for index in range(anchors)],
        intervals,
        placement=placement,
        tokens=tokens,
        token_id=PAD,
        salience=salience or (1.0,) * intervals,
    )


def written(visual: Placement) -> str:
    """Pictures as A0, A1 ...; motion tokens as interval.token."""
    names = iter(zip(visual.intervals.tolist(), visual.tokens.tolist(), strict=True))
    ids = [number for run in visual.runs for number in run.ids]
    return " ".join("{}.{}".format(*next(names)) if number == PAD else f"A{number - 100}" for number in ids)


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("per_anchor", "A0 0.0 0.1 0.2 0.3 A1 1.0 1.1 1.2 1.3"),
        ("prefix", "0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3 A0 A1"),
        ("suffix", "A0 A1 0.0 0.1 0.2 0.3 1.0 1.1 1.2 1.3"),
        ("chunked", "0.0 0.1 A0 0.2 0.3 1.0 1.1 A1 1.2 1.3"),
        ("attention", "A0 0.0 0.1 0.2 0.3 A1 1.0 1.1 1.2 1.3 1.0"),
    ],
)
def test_where_each_token_stands(placement: str, expected: str) -> None:
    assert written(placed(placement, anchors=2, intervals=2, salience=(1.0, 3.0))) == expected


def test_chunks_of_odd_intervals_and_of_single_tokens() -> None:
    assert written(placed("chunked", anchors=2, intervals=2, tokens=3)) == "0.0 0.1 A0 0.2 1.0 1.1 A1 1.2"
    assert written(placed("chunked", anchors=3, intervals=3, tokens=1)) == "0.0 A0 1.0 A1 2.0 A2"


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_without_pictures_or_without_motion(placement: str) -> None:
    blind = placed(placement, anchors=0)
    assert {run.kind for run in blind.runs} == {"motion"}
    assert len(blind.tokens) == 12 + repeated_tokens(3, 4, placement=placement)
    still = placed(placement, intervals=0)
    assert [run.kind for run in still.runs] == ["image"] * 3
    assert len(still.tokens) == 0


@given(
    st.sampled_from(PLACEMENTS),
    st.integers(1, 9),
    st.integers(1, 40),
    st.lists(st.floats(0, 10), min_size=9, max_size=9),
)
def test_every_token_is_there_and_the_budget_holds(
    placement: str, intervals: int, tokens: int, salience: list[float]
) -> None:
    weights = tuple(salience[:intervals])
    visual = placed(placement, anchors=intervals, intervals=intervals, tokens=tokens, salience=weights)
    pairs = list(zip(visual.intervals.tolist(), visual.tokens.tolist(), strict=True))
    assert set(pairs) == {(i, t) for i in range(intervals) for t in range(tokens)}
    assert len(pairs) == intervals * tokens + repeated_tokens(intervals, tokens, placement=placement)
    assert sum(len(run.ids) for run in visual.runs if run.kind == "motion") == len(pairs)


def test_repeats_are_bounded_and_follow_salience() -> None:
    for intervals, tokens in ((1, 1), (8, 64), (3, 10), (64, 256)):
        dealt = repeats([float(i) for i in range(intervals)], tokens)
        assert sum(dealt) == math.ceil(0.12 * intervals * tokens)
        assert dealt == sorted(dealt)
        assert max(dealt) <= tokens
    assert repeats([0.0] * 4, 25) == [3, 3, 3, 3]
    # All 24 would go to the second interval, which has room for its own ten alone.
    assert repeats([0.0, 1.0, *[0.0] * 18], 10)[1] == 10


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("counts", [(2, 3), (1, 1), (4, 2)])
def test_injection_is_the_dense_product(placement: str, counts: tuple[int, int]) -> None:
    k, width = 5, 3
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(sum(counts), k, width, dtype=torch.float64, generator=generator, requires_grad=True)
    visuals = [placed(placement, anchors=n, intervals=n, tokens=k, salience=tuple(range(n))) for n in counts]
    rows = [[1, *(number for run in visual.runs for number in run.ids), 2] for visual in visuals]
    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
    firsts = (0, counts[0])
    index = torch.cat([(v.intervals + first) * k + v.tokens for v, first in zip(visuals, firsts, strict=True)])
    embeddings = torch.randn(*ids.shape, width, dtype=torch.float64, generator=generator)
    sparse = inject(embeddings, ids == PAD, torch.cat(token_rows(tokens, index, torch.tensor(counts))))

    # P: placeholders x all positions in a row; R: placeholders x tokens, more than one 1 in a column for repeats.
    p = torch.nn.functional.one_hot((ids == PAD).flatten().nonzero().flatten(), ids.numel()).double()
    r = torch.nn.functional.one_hot(index, sum(counts) * k).double()
    flat = tokens.flatten(0, 1)
    dense = (1 - p.T @ torch.ones(len(p), 1, dtype=torch.float64)) * embeddings.flatten(0, 1) + p.T @ (r @ flat)
    assert torch.equal(sparse.flatten(0, 1), dense)
    weights = torch.randn(dense.shape, dtype=torch.float64, generator=generator)
    given_ = torch.autograd.grad((sparse.flatten(0, 1) * weights).sum(), tokens)[0]
    wanted = torch.autograd.grad((dense * weights).sum(), tokens)[0]
    assert torch.allclose(given_, wanted, rtol=0, atol=1e-12)
    assert bool((wanted != 0).all())


def test_grids_of_any_number_of_tokens() -> None:
    assert [motion_grid(k) for k in (1, 4, 64, 256)] == [(1, 1), (2, 2), (8, 8), (16, 16)]
    assert [motion_grid(k) for k in (2, 8, 32, 128)] == [(1, 2), (3, 3), (6, 6), (11, 12)]
    for k in range(1, 257):
        rows, columns = motion_grid(k)
        assert (rows - 1) * columns < k <= rows * columns
        assert 0 <= columns - rows <= 1


def test_positions_of_a_short_last_row() -> None:
    runs = [*placed("per_anchor", anchors=0, intervals=1, tokens=5).runs, Run("text", (1,))]
    assert time_row_column_positions(runs, scheme="grid").tolist() == [
        [0, 0, 0, 0, 0, 3],
        [0, 0, 0, 1, 1, 3],
        [0, 1, 2, 0, 1, 3],
    ]
    assert plain_positions(runs, scheme="grid").tolist() == [[0, 0, 0, 1, 1, 2]]


def test_a_repeated_token_costs_no_position() -> None:
    runs = [*placed("attention", anchors=0, intervals=1, tokens=16, salience=(1.0,)).runs, Run("text", (1,))]
    assert len(runs[0].ids) == 18
    positions = time_row_column_positions(runs, scheme="grid")
    assert torch.equal(positions[:, 16:18], positions[:, 0:2])
    assert positions[:, -1].tolist() == [4, 4, 4]
    assert plain_positions(runs, scheme="sequential").tolist() == [list(range(19))]


def test_a_chunk_is_a_grid_of_its_own() -> None:
    runs = [run for run in placed("chunked", intervals=2, anchors=0, tokens=9).runs if run.kind == "motion"]
    assert [(len(run.ids), run.grid) for run in runs] == [(5, (2, 3)), (9, (3, 3)), (4, (2, 2))]


def with_placement(setup: Setup, placement: str) -> HimmelProcessor:
    config = type(setup.config).from_dict({**setup.config.to_dict(), "placement": placement})
    return HimmelProcessor(config, setup.model.host)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_host_reads_every_placement(host_setup: Setup, placement: str) -> None:
    """Unequal numbers of anchors in one batch, left padding, gradients: as each video alone."""
    processor = with_placement(host_setup, placement)
    turns = [("What moves?", "the ball")]
    both = processor.encode(host_setup.samples, [turns, turns])
    extra = sum(repeated_tokens(intervals, 4, placement=placement) for intervals in (2, 3))
    assert processor.count_tokens(both)["motion"] == 20 + extra
    logits = host_setup.model(both).logits
    alone = [host_setup.model(processor.encode([sample], [turns])).logits for sample in host_setup.samples]
    assert torch.allclose(logits, torch.cat(alone), atol=1e-4)
    loss = host_setup.model(both).loss
    reached = torch.autograd.grad(loss, list(host_setup.model.adapter.parameters()), allow_unused=True)
    assert sum(float(gradient.abs().sum()) for gradient in reached if gradient is not None) > 0


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_branches_read_every_placement(setup: Setup, placement: str) -> None:
    processor = with_placement(setup, placement)
    asked = [("What moves?", ["the ball", "nothing"]), ("Who?", ["one", "two", "three"])]
    packed = setup.model.score_choices(processor.encode_choices(setup.samples, [asked, asked[:1]]))
    single = setup.model.score_choices(processor.encode_choices([setup.samples[0]], [asked[1:]]))
    assert torch.allclose(packed[0][1], single[0][0], atol=1e-4)


def test_salience_follows_what_the_codec_spent(nano: Setup) -> None:
    sample = nano.samples[1]
    first, second, third = predict_salience(sample)
    assert math.isclose(first + second + third, 1.0)
    # The second interval of this sample has no steps.
    assert second == 0.0
    assert first > 0
    quiet = replace(sample, motion=sample.motion.clone(), residual=sample.residual.clone())
    quiet.motion[2], quiet.residual[2] = 0, 0
    assert predict_salience(quiet) == [1.0, 0.0, 0.0]
    still = replace(sample, motion=torch.zeros_like(sample.motion), residual=torch.zeros_like(sample.residual))
    assert predict_salience(still) == [0.0, 0.0, 0.0]


def test_attention_repeats_the_salient_interval(nano: Setup) -> None:
    processor = with_placement(nano, "attention")
    sample = nano.samples[0]
    loud = replace(sample, motion=sample.motion.clone())
    loud.motion[1] *= 100
    index = processor.encode([loud], [ASK]).motion.index.tolist()
    assert index == [0, 1, 2, 3, 4, 5, 6, 7, 4]
