"""Gate statistics, held against the adapter's own weights and loops over steps and components."""

import math

import pytest
import torch

from himmel.adapter import GateStatistics, MotionAdapter


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _gate_by_hand(stage, first: torch.Tensor, second: torch.Tensor) -> float:
    """Mean over the width of sigmoid(W [a ; b] + b) for two vectors, component by component."""
    joined = torch.cat((first, second)).tolist()
    weight, bias = stage.gate.weight.tolist(), stage.gate.bias.tolist()
    values = [
        _sigmoid(sum(w * x for w, x in zip(row, joined, strict=True)) + b) for row, b in zip(weight, bias, strict=True)
    ]
    return sum(values) / len(values)


def test_shares_are_the_gates_multiplied_out(tiny, streams):
    torch.manual_seed(0)
    config = tiny()
    adapter, inputs = MotionAdapter(config).eval(), streams(config, [3, 1, 0], steps=3)
    with torch.no_grad():
        gates = adapter(inputs).gates
        for interval, length in enumerate([3, 1, 0]):
            context = adapter.branches["context"](inputs.context[interval][None])[0]
            for step in range(3):
                if step >= length:
                    assert gates.shares[interval, step].tolist() == [0, 0, 0]
                    continue
                motion = adapter.branches["motion"](inputs.motion[interval, step][None])[0]
                residual = adapter.branches["residual"](inputs.residual[interval, step][None])[0]
                g = _gate_by_hand(adapter.motion_fusion, motion, residual)
                moved, _ = adapter.motion_fusion(motion, residual)
                h = _gate_by_hand(adapter.context_fusion, moved, context)
                expected = torch.tensor([g * h, (1 - g) * h, 1 - h])
                torch.testing.assert_close(gates.shares[interval, step], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fusion", ["gated", "weighted_sum", "concat_mlp", "concat"])
def test_modes_that_weigh_their_operands_have_gates(tiny, streams, fusion):
    config = tiny(fusion=fusion)
    gates = MotionAdapter(config)(streams(config, [6, 2, 0])).gates
    if fusion.startswith("concat"):
        assert gates is None
        return
    assert gates.shares.sum(-1).isclose(gates.step_mask.float()).all()
    assert not gates.shares.requires_grad
    if fusion == "weighted_sum":
        # One number for all steps and components, and it starts in the middle.
        torch.testing.assert_close(gates.shares[0, 0], torch.tensor([0.25, 0.25, 0.5]))


def _random_gates(lengths: list[int], steps: int = 5) -> GateStatistics:
    mask = torch.arange(steps) < torch.tensor(lengths)[:, None]
    generator = torch.Generator().manual_seed(3)
    one, two = (torch.rand(len(lengths), steps, generator=generator) * 0.8 + 0.1 for _ in range(2))
    names = ("motion", "residual", "context")
    return GateStatistics(streams=names, motion_gate=one * mask, context_gate=two * mask, step_mask=mask)


def test_means_of_samples_are_over_their_own_steps():
    lengths, counts = [5, 0, 2, 1, 0], [3, 1, 1]
    gates = _random_gates(lengths)
    means = gates.mean_shares(counts)
    first = 0
    for sample, count in enumerate(counts):
        rows = [
            gates.shares[m, f] for m in range(first, first + count) for f in range(lengths[m])
        ]  # every step that exists
        if rows:
            torch.testing.assert_close(means[sample], sum(rows) / len(rows))
        else:
            assert means[sample].isnan().all()
        first += count
    assert torch.equal(gates.mean_shares(), gates.mean_shares([5]))


def test_shares_are_the_softmax_of_a_tree_of_two_forks():
    gates = _random_gates([5, 5])
    logits = torch.stack(
        (
            gates.context_gate.logit() + gates.motion_gate.log(),
            gates.context_gate.logit() + (1 - gates.motion_gate).log(),
            torch.zeros(2, 5),
        ),
        dim=-1,
    )
    torch.testing.assert_close(gates.shares, logits.softmax(-1))
    moved, kept, context = gates.shares.unbind(-1)
    torch.testing.assert_close((moved / kept).log(), gates.motion_gate.logit())
    torch.testing.assert_close(((moved + kept) / context).log(), gates.context_gate.logit())
