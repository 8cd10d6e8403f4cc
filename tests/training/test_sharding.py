"""How parameters are shared among processes: what is asked of the trainer, and what is refused."""

import importlib.util
import os

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.integrations.deepspeed import (
    is_deepspeed_available,
    is_deepspeed_zero3_enabled,
    set_hf_deepspeed_config,
)

from himmel.errors import RecipeError
from himmel.training import sharding
from himmel.training.recipe import ComputeSection
from himmel.training.sharding import environment_restored, fill, sharding_options, straighten, whole, whole_parameters


@pytest.fixture
def network() -> LlamaForCausalLM:
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=16, **sizes))


@pytest.mark.skipif(is_deepspeed_available(), reason="DeepSpeed is installed")
@pytest.mark.parametrize(
    ("name", "match"), [("zero3", "needs DeepSpeed, which is not installed"), ("zero9", "is not a file")]
)
def test_deepspeed_that_cannot_be_had_is_one_sentence(name: str, match: str, network: LlamaForCausalLM) -> None:
    with pytest.raises(RecipeError, match=match):
        sharding_options(ComputeSection(deepspeed=name), network)


def test_one_way_at_a_time(network: LlamaForCausalLM) -> None:
    with pytest.raises(RecipeError, match=r"compute.deepspeed = 'zero2' and compute.fsdp = 'full_shard' exclude"):
        sharding_options(ComputeSection(deepspeed="zero2", fsdp="full_shard"), network)


def test_fsdp_needs_several_processes(network: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(RecipeError, match=r"among several processes, and one was started; run `torchrun"):
        sharding_options(ComputeSection(fsdp="full_shard"), network)


@pytest.mark.parametrize(("way", "again"), [("full_shard", True), ("shard_grad_op", False)])
def test_fsdp_gathers_layer_by_layer(
    way: str, again: bool, network: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    asked = sharding_options(ComputeSection.model_validate({"fsdp": way}), network)
    assert asked["fsdp"] is True
    wrapped = {"transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}
    assert asked["fsdp_config"] == {"version": 2, "reshard_after_forward": again, **wrapped}


def test_a_stage_leaves_nothing_behind_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "said before")
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED", raising=False)
    with environment_restored():
        os.environ.update(ACCELERATE_USE_FSDP="true", ACCELERATE_USE_DEEPSPEED="true")
    assert os.environ["ACCELERATE_USE_FSDP"] == "said before"
    assert "ACCELERATE_USE_DEEPSPEED" not in os.environ


class _Zero3:
    """What transformers notes while a stage is trained by ZeRO-3."""

    def is_zero3(self) -> bool:
        return True


def test_the_host_of_a_stage_after_zero_3_is_loaded_whole() -> None:
    """It has parameters of shape (0,) where transformers still goes by the settings of the stage before."""
    noted = _Zero3()
    with environment_restored():
        set_hf_deepspeed_config(noted)
        assert is_deepspeed_zero3_enabled()
    assert not is_deepspeed_zero3_enabled()


def test_deepspeed_without_a_launcher_is_one_sentence(
    network: LlamaForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(sharding, "is_deepspeed_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"'zero2' wants a launcher, for one process too; run `torchrun"):
        sharding_options(ComputeSection(deepspeed="zero2"), network)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert sharding_options(ComputeSection(deepspeed="zero2"), network)["deepspeed"].endswith("zero2.json")


@pytest.mark.parametrize("side", [1, 3])
def test_parameters_are_cut_row_by_row(side: int) -> None:
    """DeepSpeed broadcasts bytes, which a tower whose channels come last cannot be seen as."""
    layer = nn.Conv2d(4, 6, side).to(memory_format=torch.channels_last)
    before = layer.weight.detach().clone()
    with pytest.raises(RuntimeError, match="stride"):
        layer.weight.data.view(torch.uint8)
    straighten(layer)
    assert layer.weight.stride() == (4 * side**2, side**2, side, 1)
    assert torch.equal(layer.weight, before)


def test_what_is_not_shared_stays_as_it_is() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight
    with whole_parameters(layer, ComputeSection()):
        assert layer.weight is before
    assert whole(before) is before
    fill(before, torch.ones(2, 2))
    assert before.eq(1).all()
