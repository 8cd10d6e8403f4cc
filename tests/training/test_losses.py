import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from himmel.adapter import AdapterOutput
from himmel.training.losses import (
    Temperature,
    alignment_loss,
    cosine_gap,
    info_nce,
    mse,
    similarity_parts,
    zero_delta_mask,
)


def _pairs(number: int, width: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    p, v = torch.randn(2, number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return p, v


def _output(number: int, seed: int = 0, names: tuple[str, ...] = ("context", "motion", "residual")) -> AdapterOutput:
    generator = torch.Generator().manual_seed(seed)

    def embedding() -> torch.Tensor:
        return torch.randn(number, 5, generator=generator, dtype=torch.float64).requires_grad_()

    unused = torch.empty(0)
    return AdapterOutput(
        tokens=unused,
        embedding=embedding(),
        branches={name: embedding() for name in names},
        pooled=unused,
        sequence=unused,
        gates=None,
    )


# Loops over numbers, straight from equations 6 and 7 of docs/method.md.


def _cosine(p: list[float], v: list[float]) -> float:
    dot = sum(a * b for a, b in zip(p, v, strict=True))
    return dot / (math.sqrt(sum(a * a for a in p)) * math.sqrt(sum(b * b for b in v)))


def _loop_nce(p: torch.Tensor, v: torch.Tensor, tau: float) -> float:
    s = [[_cosine(a, b) for b in v.tolist()] for a in p.tolist()]
    number, total = len(s), 0.0
    for i in range(number):
        along_row = sum(math.exp(s[i][j] / tau) for j in range(number))
        along_column = sum(math.exp(s[j][i] / tau) for j in range(number))
        total += math.log(math.exp(s[i][i] / tau) / along_row) + math.log(math.exp(s[i][i] / tau) / along_column)
    return -total / (2 * number)


def _loop_gap(p: torch.Tensor, v: torch.Tensor) -> float:
    return 1 - sum(_cosine(a, b) for a, b in zip(p.tolist(), v.tolist(), strict=True)) / len(p)


def _loop_mse(p: torch.Tensor, v: torch.Tensor) -> float:
    return sum(
        sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for x, y in zip(p.tolist(), v.tolist(), strict=True)
    ) / len(p)


@settings(max_examples=40, deadline=None)
@given(number=st.integers(1, 6), seed=st.integers(0, 999), tau=st.floats(0.05, 1.0))
def test_info_nce_is_equation_6(number, seed, tau):
    p, v = _pairs(number, seed=seed)
    log_temperature = torch.tensor(math.log(tau), dtype=torch.float64)
    assert float(info_nce(p, v, log_temperature)) == pytest.approx(_loop_nce(p, v, tau), rel=1e-9, abs=1e-12)
    assert float(info_nce(v, p, log_temperature)) == pytest.approx(float(info_nce(p, v, log_temperature)))
    scaled = info_nce(p * 7.5, v * 0.01, log_temperature)
    assert float(scaled) == pytest.approx(float(info_nce(p, v, log_temperature)))


def test_info_nce_knows_chance_and_success():
    v = torch.eye(4, dtype=torch.float64)
    cold = torch.tensor(math.log(0.01), dtype=torch.float64)
    assert float(info_nce(v, v, cold)) == pytest.approx(0, abs=1e-12)
    assert float(info_nce(torch.ones_like(v), v, cold)) == pytest.approx(math.log(4))
    assert float(info_nce(v.roll(1, dims=0), v, cold)) == pytest.approx(100)


def test_cosine_gap_and_mse_are_their_formulas():
    p, v = _pairs(6)
    assert float(cosine_gap(p, v)) == pytest.approx(_loop_gap(p, v))
    assert float(mse(p, v)) == pytest.approx(_loop_mse(p, v))
    assert float(cosine_gap(v, 3 * v)) == pytest.approx(0)
    assert float(cosine_gap(-v, v)) == pytest.approx(2)


@pytest.mark.parametrize("objective", ["infonce", "mse", "hybrid"])
def test_alignment_loss_is_equation_7(objective):
    output, (_, v) = _output(6), _pairs(6, seed=4)
    temperature = Temperature(0.2).double()
    tau = float(temperature().exp().detach())
    lambda_, mu, mse_weight = 0.7, 0.3, 0.5
    loss = alignment_loss(
        output, v, temperature=temperature, objective=objective, lambda_=lambda_, mu=mu, mse_weight=mse_weight
    )

    def term(p: torch.Tensor) -> float:
        return _loop_mse(p, v) if objective == "mse" else _loop_nce(p, v, tau) + lambda_ * _loop_gap(p, v)

    expected = term(output.embedding) + mu * sum(term(p) for p in output.branches.values())
    if objective == "hybrid":
        expected += mse_weight * _loop_mse(output.embedding, v)
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-9)
    assert loss.left_out == 0
    assert float(loss.parts["temperature"]) == pytest.approx(0.2)
    kinds = {"infonce": {"nce", "cosine"}, "mse": {"mse"}, "hybrid": {"nce", "cosine", "mse"}}[objective]
    watched = {"temperature", "positive", "found", "hardest_negative"}
    own = {name for name in loss.parts if not name.startswith(tuple(output.branches))}
    assert own == kinds | watched
    branch_kinds = {f"motion_{kind}" for kind in kinds} - ({"motion_mse"} if objective == "hybrid" else set())
    assert {name for name in loss.parts if name.startswith("motion_")} == branch_kinds
    assert not any(part.requires_grad for part in loss.parts.values())
    assert repr(loss).startswith("AlignmentLoss(total=float64[]")


def test_gradients_go_to_predictions_and_temperature_but_not_to_targets():
    output, (_, v) = _output(6), _pairs(6, seed=4)
    v.requires_grad_()
    temperature = Temperature().double()
    alignment_loss(output, v, temperature=temperature).total.backward()
    for embedding in (output.embedding, *output.branches.values()):
        assert embedding.grad.abs().sum() > 0
    assert temperature.log_temperature.grad.abs().sum() > 0
    assert v.grad is None


def test_still_intervals_and_invalid_ones_are_left_out():
    output, (_, v) = _output(6), _pairs(6, seed=4)
    v[1] = 0
    v[4] *= 1e-5
    valid = torch.tensor([True, True, False, True, True, True])
    temperature = Temperature(0.2).double()
    tau = float(temperature().exp().detach())
    loss = alignment_loss(output, v, temperature=temperature, lambda_=0.4, mu=0.2, valid=valid)
    rows = [0, 3, 5]
    expected = sum(
        weight * (_loop_nce(p[rows], v[rows], tau) + 0.4 * _loop_gap(p[rows], v[rows]))
        for weight, p in [(1, output.embedding), *((0.2, p) for p in output.branches.values())]
    )
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-9)
    assert loss.left_out == pytest.approx(0.5)
    loss.total.backward()
    assert (output.embedding.grad[[1, 2, 4]] == 0).all()


def test_a_batch_without_any_direction_gives_a_zero_loss_with_gradients():
    output, temperature = _output(3), Temperature().double()
    loss = alignment_loss(output, torch.zeros(3, 5, dtype=torch.float64), temperature=temperature)
    assert (float(loss.total.detach()), loss.left_out) == (0.0, 1.0)
    loss.total.backward()
    for tensor in (output.embedding, *output.branches.values(), temperature.log_temperature):
        assert (tensor.grad == 0).all()


def test_zero_delta_mask_counts_what_it_leaves_out():
    targets = torch.diag(torch.tensor([2.0, 0.0, 0.019, 0.021]))
    keep, share = zero_delta_mask(targets)
    assert keep.tolist() == [True, False, False, True]
    assert share == pytest.approx(0.5)
    assert zero_delta_mask(targets, relative=0.5)[0].tolist() == [True, False, False, False]
    assert zero_delta_mask(torch.full((3, 4), 1e-9))[1] == 1.0
    assert zero_delta_mask(torch.empty(0, 4))[1] == 0.0


def test_half_precision_is_widened():
    p, v = _pairs(6)
    exact = float(info_nce(p, v, torch.tensor(math.log(0.07), dtype=torch.float64)))
    halved = info_nce(p.bfloat16(), v.bfloat16(), torch.tensor(math.log(0.07)))
    assert halved.dtype == torch.float32
    assert float(halved) == pytest.approx(exact, rel=0.05)


def test_autocast_rounds_no_cosine():
    """Training in bfloat16 runs under it. There, 0.9994 is 1, and a neighbour would be taken for the pair itself."""
    p, v = (one.float() for one in _pairs(16, width=256))
    v[1] = v[0] + 0.035 * v[2]
    cold = torch.tensor(math.log(0.02))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, watched = info_nce(p, v, cold), similarity_parts(p, v)
    torch.testing.assert_close(rounded, info_nce(p, v, cold), rtol=1e-6, atol=0)
    torch.testing.assert_close(watched, similarity_parts(p, v))


def test_temperature_stays_in_range_and_comes_back_from_the_edge():
    temperature = Temperature(0.07)
    assert float(temperature().exp().detach()) == pytest.approx(0.07)
    for pushed, held in ((-50.0, 0.01), (50.0, 1.0)):
        with torch.no_grad():
            temperature.log_temperature.fill_(pushed)
        value = temperature()
        assert float(value.exp().detach()) == pytest.approx(held)
        (gradient,) = torch.autograd.grad(value.sum(), temperature.log_temperature)
        assert float(gradient) == 1.0
    with pytest.raises(ValueError, match=r"0\.005"):
        Temperature(0.005)


def test_wrong_calls_are_named():
    output, (_, v) = _output(6), _pairs(6)
    with pytest.raises(ValueError, match="objective='l1'"):
        alignment_loss(output, v, temperature=Temperature(), objective="l1")
    with pytest.raises(ValueError, match=r"Targets \[5, 5\]"):
        alignment_loss(output, v[:5], temperature=Temperature())


def test_the_same_interval_twice_is_no_negative_of_itself() -> None:
    """A batch with a pair twice has the loss of each pair alone, counted as often as it is there."""
    torch.manual_seed(0)
    p, v = torch.randn(2, 5, 8)
    once = info_nce(p, v, torch.tensor(-1.0))
    twice = info_nce(torch.cat([p, p[:1]]), torch.cat([v, 3 * v[:1]]), torch.tensor(-1.0))
    logits = torch.nn.functional.normalize(p, dim=-1) @ torch.nn.functional.normalize(v, dim=-1).T * math.e
    rows = [-logits.log_softmax(axis).diagonal() for axis in (0, 1)]
    # The other pairs meet the twice-drawn one as a negative twice.
    weights = torch.tensor([1.0, 1, 1, 1, 1])
    weights[0] = 2
    others = [
        -(logits.diagonal() - (logits.exp() * (weights if axis else weights[:, None])).sum(axis).log())
        for axis in (0, 1)
    ]
    expected = sum((2 * row[0] + other[1:].sum()) / 6 for row, other in zip(rows, others, strict=True)) / 2
    torch.testing.assert_close(twice, expected)
    assert twice != once


def test_what_is_watched_tells_pairs_from_their_negatives() -> None:
    v = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    p = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    parts = similarity_parts(p, v)
    # The first two targets are one; the second prediction points at the third's.
    assert {name: round(float(value), 5) for name, value in parts.items()} == {
        "positive": 0.66667,
        "hardest_negative": 0.33333,
        "found": 0.66667,
    }
    assert list(similarity_parts(p[:1], v[:1])) == ["positive"]
