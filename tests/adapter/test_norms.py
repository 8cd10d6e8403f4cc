"""What a ResNet keeps of how fast things move, in training as in inference, alone in its batch or not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs
from himmel.adapter.norms import CALIBRATION_BATCHES, StoredNorm2d


@pytest.fixture
def adapter(tiny, streams) -> MotionAdapter:
    """With ResNets whose statistics come from clips of many speeds."""
    torch.manual_seed(0)
    adapter = MotionAdapter(tiny(branch="resnet18", context_channels=3, context_size=32)).train()
    with torch.no_grad():
        for seed in range(CALIBRATION_BATCHES):
            adapter(_faster(streams(adapter.config, [2, 1], steps=2, seed=seed), 0.25 * 2 ** (seed % 5)))
    return adapter


def _faster(inputs: StreamInputs, factor: float) -> StreamInputs:
    return replace(inputs, motion=inputs.motion * factor)


def _motion_state(adapter: MotionAdapter, inputs: StreamInputs) -> Tensor:
    with torch.no_grad():
        return adapter(inputs).branches["motion"]


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm())


@pytest.mark.parametrize("training", [True, False])
def test_speed_shows_where_one_clip_is_the_batch(adapter: MotionAdapter, streams, training: bool) -> None:
    """By the batch's own statistics, vectors of four times the length changed the state by 0.4 % in training."""
    inputs = streams(adapter.config, [2], steps=2, seed=500)
    adapter.train(training)
    change = _difference(_motion_state(adapter, inputs), _motion_state(adapter, _faster(inputs, 4)))
    assert change > 0.1


def test_training_and_inference_compute_the_same(adapter: MotionAdapter, streams) -> None:
    inputs = streams(adapter.config, [2], steps=2, seed=500)
    trained = _motion_state(adapter.train(), inputs)
    assert torch.equal(trained, _motion_state(adapter.eval(), inputs))


def test_a_batch_norms_checkpoint_gives_the_very_same_answers() -> None:
    torch.manual_seed(0)
    old, new = nn.BatchNorm2d(5), StoredNorm2d(5)
    for _ in range(3):
        old(torch.randn(8, 5, 4, 4) * 3 + 1)
    with torch.no_grad():
        old.weight.uniform_()
        old.bias.uniform_()
    new.load_state_dict(old.state_dict())
    maps = torch.randn(8, 5, 4, 4)
    assert torch.equal(new.eval()(maps), old.eval()(maps))


def test_statistics_are_those_of_all_batches_as_one() -> None:
    norm = StoredNorm2d(3)
    batches = [torch.randn(6, 3, 5, 5) * scale + scale for scale in (1.0, 2.0, 7.0)]
    for batch in batches:
        norm(batch)
    cells = torch.cat(batches).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, cells.mean(1))
    torch.testing.assert_close(norm.running_var, cells.var(1, correction=0))


def test_statistics_stay_when_enough_was_seen(adapter: MotionAdapter, streams) -> None:
    before = {name: value.clone() for name, value in adapter.named_buffers()}
    _motion_state(adapter, _faster(streams(adapter.config, [2], steps=2), 100))
    for name, value in adapter.named_buffers():
        assert torch.equal(value, before[name]), name


def test_a_batch_without_rows_changes_no_statistics() -> None:
    norm = StoredNorm2d(3)
    assert norm(torch.zeros(0, 3, 5, 5)).shape == (0, 3, 5, 5)
    assert int(norm.num_batches_tracked) == 0
    assert bool((norm.running_var == 1).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_take_maps_of_either_type(dtype: torch.dtype) -> None:
    """DeepSpeed casts a model whole, and what comes before the layer may be computed in another type."""
    norm = StoredNorm2d(3).to(dtype)
    for given in (dtype, torch.float32):
        assert norm(torch.randn(2, 3, 4, 4, dtype=given)).dtype == given


def test_the_reports_budget_is_that_of_batch_norms() -> None:
    """Statistics are no parameters: a ResNet-18 has 11,173,376 with either."""
    with torch.device("meta"):
        backbone = MotionAdapter(AdapterConfig.paper()).branches["motion"].backbone
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 11_173_376
    assert not [one for one in backbone.modules() if type(one) is nn.BatchNorm2d]
