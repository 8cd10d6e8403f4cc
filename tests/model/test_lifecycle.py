"""Putting an adapter on a host, taking it off, and putting another one on."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from himmel.errors import HostError, UsageError
from himmel.hosts import Loading
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.inputs import ModelInputs
from tiny_hosts import Setup, host_arguments, make_decomposition

ASK = [("What moves?", None)]
TURNS = [("What moves?", "the red ball"), ("Which way?", "left")]


def load_plain(setup: Setup, dtype: torch.dtype | None = None) -> PreTrainedModel:
    return setup.model.host.load_network(Loading(dtype=dtype))


def train(model: HimmelForConditionalGeneration, setup: Setup, steps: int = 2) -> None:
    """Steps of stage 2 on everything that may learn."""
    model.train_only(["adapter", "lora", *model.host_parts()])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    for _ in range(steps):
        model(setup.processor.encode(setup.samples, [TURNS, TURNS])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def shared_parameters(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in network.named_parameters() if ".lora_" not in name]


def same_host(network: nn.Module, plain: nn.Module) -> bool:
    """Whether every module, hook and tensor, by name, is that of a host just loaded."""
    ours, theirs = network.state_dict(), plain.state_dict()
    same_tensors = ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    return describe(network) == describe(plain) and same_tensors


def describe(network: nn.Module) -> list[tuple[str, type, int]]:
    """Each module's name, class and number of hooks; transformers adds some of its own when it first runs."""
    return [
        (
            name,
            type(module),
            sum(not hook.__module__.startswith("transformers.") for hook in module._forward_hooks.values()),
        )
        for name, module in network.named_modules()
    ]


def for_the_host(setup: Setup, network: PreTrainedModel, inputs: ModelInputs) -> dict[str, Any]:
    """What the processor made, without motion, as arguments of the host's own forward."""
    text = {name: value for name, value in host_arguments(inputs).items() if name not in inputs.images}
    return {**text, **setup.model.host.vision_inputs(setup.model.host.image_features(network, inputs.images))}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_trained_model_becomes_its_host_bit_for_bit(every: Callable[..., Setup], dtype: torch.dtype) -> None:
    setup = every()
    model = HimmelForConditionalGeneration(setup.config, setup.model.host, load_plain(setup, dtype))
    train(model, setup)
    plain = load_plain(setup, dtype)
    inputs = setup.processor.encode(setup.samples, [ASK, [("Which way does it move?", None)]], motion=False)
    own = for_the_host(setup, plain, inputs)
    greedy = {"max_new_tokens": 6, "do_sample": False}
    before = model(inputs).logits
    with torch.no_grad(), model.disable_motion():
        assert same_host(model.network, plain)
        assert torch.equal(model(inputs).logits, plain(**own).logits)
        assert torch.equal(model.generate(inputs, **greedy), plain.generate(**own, **greedy))
    assert torch.equal(model(inputs).logits, before)
    assert not torch.equal(before, plain(**own).logits)


def test_the_switch_lasts_until_it_is_turned_back(fresh: Callable[..., Setup]) -> None:
    setup = fresh()
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    before = setup.model(inputs).logits
    setup.model.disable_motion()
    with setup.model.disable_motion():
        pass
    with pytest.raises(HostError, match="encode them with motion=False"):
        setup.model(inputs)
    setup.model.enable_motion()
    assert torch.equal(setup.model(inputs).logits, before)


def test_a_copy_is_switched_by_itself(fresh: Callable[..., Setup]) -> None:
    setup = fresh()
    twin = copy.deepcopy(setup.model)
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    before = setup.model(inputs).logits
    with twin.disable_motion():
        assert same_host(twin.network, load_plain(setup))
        assert torch.equal(setup.model(inputs).logits, before)
    assert torch.equal(twin(inputs).logits, before)


def test_training_goes_on_after_a_look_at_the_host(fresh: Callable[..., Setup]) -> None:
    setup = fresh()
    straight, interrupted = copy.deepcopy(setup.model), setup.model
    train(straight, setup, steps=2)
    optimizer_sees = {id(parameter) for parameter in interrupted.parameters()}
    with interrupted.disable_motion():
        pass
    train(interrupted, setup, steps=2)
    assert {id(parameter) for parameter in interrupted.parameters()} == optimizer_sees
    for (name, one), (_, other) in zip(straight.named_parameters(), interrupted.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def test_saving_while_disabled_saves_what_was_trained(fresh: Callable[..., Setup], tmp_path: Path) -> None:
    setup = fresh()
    train(setup.model, setup)
    setup.model.save_pretrained(tmp_path / "on")
    with setup.model.disable_motion():
        setup.model.save_pretrained(tmp_path / "off")
    files = sorted(path.relative_to(tmp_path / "on") for path in (tmp_path / "on").rglob("*.safetensors"))
    assert len(files) >= 2
    assert all((tmp_path / "on" / name).read_bytes() == (tmp_path / "off" / name).read_bytes() for name in files)


def test_what_is_detached_is_the_host(fresh: Callable[..., Setup]) -> None:
    setup = fresh()
    train(setup.model, setup)
    network = setup.model.detach()
    assert same_host(network, load_plain(setup))
    assert vars(network).keys() == vars(load_plain(setup)).keys()


def test_a_network_takes_one_adapter_after_another(fresh: Callable[..., Setup], tmp_path: Path) -> None:
    setup = fresh()
    train(setup.model, setup)
    setup.model.save_pretrained(tmp_path)
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    expected = HimmelForConditionalGeneration.from_pretrained(tmp_path)(inputs).logits
    again = HimmelForConditionalGeneration.from_pretrained(tmp_path, network=setup.model.detach())
    assert torch.equal(again(inputs).logits, expected)


def test_another_adapter_goes_onto_the_loaded_host(every: Callable[..., Setup], tmp_path: Path) -> None:
    first, second = every(), every(lora_rank=2, tokens_per_interval=1, num_anchors=3)
    train(first.model, first)
    train(second.model, second)
    second.model.save_pretrained(tmp_path)
    expected = HimmelForConditionalGeneration.from_pretrained(tmp_path)
    loaded = first.model.network
    weights = {id(parameter) for parameter in shared_parameters(loaded)}
    first.model.load_adapter(tmp_path)
    assert first.model.network is loaded
    assert {id(parameter) for parameter in shared_parameters(loaded)} == weights
    assert first.model.config.to_dict() == expected.config.to_dict()
    processor = HimmelProcessor(first.model.config, first.model.host)
    inputs = processor.encode([processor.prepare(make_decomposition())], [ASK])
    assert torch.equal(first.model(inputs).logits, expected(inputs).logits)
    with first.model.disable_motion():
        assert same_host(loaded, load_plain(first))


@pytest.mark.parametrize("disabled", [False, True])
@pytest.mark.parametrize("damage", ["missing", "lora"])
def test_a_failed_exchange_leaves_the_model_as_it_was(
    fresh: Callable[..., Setup], tmp_path: Path, damage: str, disabled: bool
) -> None:
    setup = fresh()
    train(setup.model, setup)
    other = fresh(lora_rank=2)
    other.model.save_pretrained(tmp_path / "other")
    if damage == "lora":
        setup.model.save_pretrained(tmp_path / "own")
        shutil.copy(tmp_path / "own/lora/adapter_model.safetensors", tmp_path / "other/lora")
    else:
        (tmp_path / "other/adapter.safetensors").unlink()
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    before, config = setup.model(inputs).logits, setup.model.config
    if disabled:
        setup.model.disable_motion()
    with pytest.raises(HostError, match="cannot be loaded"):
        setup.model.load_adapter(tmp_path / "other")
    if disabled:
        assert same_host(setup.model.network, load_plain(setup))
        setup.model.enable_motion()
    assert setup.model.config is config
    assert torch.equal(setup.model(inputs).logits, before)


def test_an_adapter_of_another_host_is_refused(nano: Setup, qwen: Setup, tmp_path: Path) -> None:
    qwen.model.save_pretrained(tmp_path)
    with pytest.raises(HostError, match="use the host that the adapter was trained for"):
        nano.model.load_adapter(tmp_path)
    assert nano.model(nano.processor.encode([nano.samples[0]], [ASK])).logits.isfinite().all()


def test_a_network_comes_without_dtype_or_device(nano: Setup) -> None:
    with pytest.raises(UsageError, match="move the network to its device first"):
        HimmelForConditionalGeneration.from_config(
            nano.config, network=nano.model.network, loading=Loading(dtype=torch.float32)
        )
