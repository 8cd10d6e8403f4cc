"""The stream sound: joined by a fusion stage of its own, and nothing of an adapter that does not read it changes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs
from himmel.adapter.params import parameter_table
from himmel.choices import SOUND_SHAPE
from himmel.errors import UsageError

WITH_SOUND = ("context", "motion", "residual", "sound")
Streams = Callable[..., StreamInputs]


def _adapter(streams: tuple[str, ...], fusion: str = "gated") -> MotionAdapter:
    torch.manual_seed(0)
    return MotionAdapter(AdapterConfig.nano(streams=streams, fusion=fusion)).eval()


def _inputs(streams: Streams, adapter: MotionAdapter, seed: int = 0) -> StreamInputs:
    plain = streams(adapter.config, [6, 2, 0])
    return replace(plain, sound=torch.randn(3, *SOUND_SHAPE, generator=torch.Generator().manual_seed(seed)))


def test_without_it_weights_and_tokens_are_what_they_were(streams: Streams) -> None:
    plain, fuller = _adapter(WITH_SOUND[:3]), _adapter(WITH_SOUND)
    more = set(fuller.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(fuller.state_dict())
    assert {name.split(".")[0] for name in more} == {"branches", "sound_fusion", "alignment_head"}
    assert all("sound" in name for name in more)
    given = _inputs(streams, plain)
    with torch.no_grad():
        assert torch.equal(plain(given).tokens, plain(replace(given, sound=None)).tokens)


@pytest.mark.parametrize("fusion", ["gated", "weighted_sum", "concat_mlp", "concat"])
def test_sound_reaches_the_tokens(fusion: str, streams: Streams) -> None:
    adapter = _adapter(WITH_SOUND, fusion)
    one, other = adapter(_inputs(streams, adapter, 1)), adapter(_inputs(streams, adapter, 2))
    changed = (one.tokens - other.tokens).abs().amax((1, 2))
    assert (changed[:2] > 1e-3).all()
    # An interval without any step reads the null entry alone.
    assert changed[2] == 0
    assert set(one.branches) == set(WITH_SOUND)
    one.tokens[0].sum().backward()
    branch = adapter.branches["sound"]
    assert all(parameter.grad is not None for parameter in branch.parameters())


def test_shares_of_four_streams_add_up_to_one(streams: Streams) -> None:
    adapter = _adapter(WITH_SOUND)
    gates = adapter(_inputs(streams, adapter)).gates
    assert gates.streams == (*WITH_SOUND[1:3], "context", "sound")
    assert gates.shares.shape == (3, 6, 4)
    torch.testing.assert_close(gates.shares.sum(-1), gates.step_mask.float())
    torch.testing.assert_close(gates.shares[0, :, 3], 1 - gates.sound_gate[0])


def test_parameters_are_counted() -> None:
    plain = {row.component: row.parameters for row in parameter_table(AdapterConfig.nano())}
    fuller = {row.component: row.parameters for row in parameter_table(AdapterConfig.nano(streams=WITH_SOUND))}
    assert fuller["sound branch"] == sum(p.numel() for p in _adapter(WITH_SOUND).branches["sound"].parameters())
    assert fuller["fusion"] == plain["fusion"] * 3 // 2


def test_what_does_not_fit_is_refused(streams: Streams) -> None:
    adapter = _adapter(WITH_SOUND)
    with pytest.raises(ValueError, match="the inputs have none"):
        adapter(replace(_inputs(streams, adapter), sound=None))
    with pytest.raises(ValueError, match=r"Expected sound of \(4, 32\)"):
        replace(_inputs(streams, adapter), sound=torch.zeros(2, *SOUND_SHAPE))
    with pytest.raises(UsageError, match="sounds"):
        AdapterConfig.nano(streams=["context", "sounds"])
