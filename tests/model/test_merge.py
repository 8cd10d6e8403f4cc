"""Checkpoints that hold their host: LoRA merged into it, or the language model trained whole."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from himmel.errors import HostError, UsageError
from himmel.hosts import Loading
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.lora import lora_parameters
from himmel.settings import own_settings
from tiny_hosts import Setup, build, host_arguments, nano_config

ASK = [("What moves?", None)]
TEXT = ("input_ids", "attention_mask", "position_ids")
TURNS = [("What moves?", "the red ball"), ("Which way?", "left")]


def test_merging_changes_nothing_but_rounding(every: Callable[..., Setup]) -> None:
    setup = every()
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    before = setup.model(inputs).logits
    setup.model.merge_lora()
    after = setup.model(inputs).logits
    assert not lora_parameters(setup.model.network)
    # Two products and their sum in float32, in another order.
    torch.testing.assert_close(after, before, rtol=1e-4, atol=2e-6)


def test_bfloat16_weights_are_rounded_once(fresh: Callable[..., Setup]) -> None:
    setup = fresh()
    host = setup.model.host
    model = HimmelForConditionalGeneration(setup.config, host, host.load_network(Loading(dtype=torch.bfloat16)))
    for parameter in lora_parameters(model.network):
        torch.nn.init.normal_(parameter, std=0.05)
    name = next(name for name, _ in model.network.named_modules() if name.endswith("layers.1.self_attn.q_proj"))
    layer = model.network.get_submodule(name)
    down, up = (part["default"].weight.detach().double() for part in (layer.lora_A, layer.lora_B))
    exact = layer.base_layer.weight.double() + setup.config.lora_alpha / setup.config.lora_rank * up @ down
    model.merge_lora()
    merged = model.network.get_submodule(name).weight
    assert merged.dtype == torch.bfloat16
    # Half a unit in the last of bfloat16's eight places.
    assert bool(((merged.double() - exact).abs() <= exact.abs() * 2**-8).all())


def test_a_merged_checkpoint_stands_alone(every: Callable[..., Setup], tmp_path: Path) -> None:
    setup = every()
    setup.model.merge_lora()
    setup.model.save_pretrained(tmp_path / "first")
    # Elsewhere, as after a download.
    folder = (tmp_path / "first").rename(tmp_path / "elsewhere")
    loaded = HimmelForConditionalGeneration.from_pretrained(folder)
    assert (loaded.config.lora_rank, loaded.config.base_host) == (0, setup.config.host)
    processor = HimmelProcessor.from_pretrained(folder)
    assert processor.host.folder == str(folder / "host")
    inputs = processor.encode(setup.samples, [ASK, ASK])
    torch.testing.assert_close(loaded(inputs).logits, setup.model(inputs).logits, rtol=0.1, atol=0.05)
    loaded.save_pretrained(tmp_path / "again")
    again = HimmelForConditionalGeneration.from_pretrained(tmp_path / "again")
    assert torch.equal(again(inputs).logits, loaded(inputs).logits)
    assert again.config.base_host == setup.config.host


def test_transformers_loads_the_merged_host(every: Callable[..., Setup], tmp_path: Path) -> None:
    setup = every()
    inputs = setup.processor.encode(setup.samples, [ASK, ASK], motion=False)
    before = setup.model(inputs).logits
    setup.model.merge_lora()
    setup.model.save_pretrained(tmp_path)
    network = AutoModelForImageTextToText.from_pretrained(tmp_path / "host", dtype=torch.float32)
    assert type(network) is type(setup.model.network)
    vision = setup.model.host.vision_inputs(setup.model.host.image_features(network, inputs.images))
    given = {name: host_arguments(inputs)[name] for name in TEXT} | vision
    torch.testing.assert_close(network(**given).logits, before, rtol=1e-4, atol=2e-6)
    own = {path.name for path in Path(setup.config.host).iterdir()}
    assert {path.name for path in (tmp_path / "host").iterdir()} == own


def test_a_merged_model_has_no_way_back(fresh: Callable[..., Setup], tmp_path: Path) -> None:
    setup = fresh()
    setup.model.save_pretrained(tmp_path / "apart")
    setup.model.merge_lora()
    for call in (setup.model.disable_motion, setup.model.detach, lambda: setup.model.load_adapter(tmp_path / "apart")):
        with pytest.raises(UsageError, match=r"cannot go back to the original; load the host '.+' by itself"):
            call()
    setup.model.save_pretrained(tmp_path / "merged")
    other = fresh()
    with pytest.raises(UsageError, match="holds its own host; load it with from_pretrained"):
        other.model.load_adapter(tmp_path / "merged")
    with pytest.raises(UsageError, match="holds its own host; load it without a network"):
        HimmelForConditionalGeneration.from_pretrained(tmp_path / "merged", network=other.model.network)


def test_lora_that_is_not_finite_is_not_merged(nano_folder: str) -> None:
    setup = build(nano_config(nano_folder))
    inputs = setup.processor.encode([setup.samples[0]], [ASK], motion=False)
    last = lora_parameters(setup.model.network)[-1]
    kept = last.detach().clone()
    before = setup.model(inputs).logits
    last.data[0, 0] = float("nan")
    with pytest.raises(HostError, match="not finite; take an earlier checkpoint"):
        setup.model.merge_lora()
    last.data.copy_(kept)
    assert torch.equal(setup.model(inputs).logits, before)


def test_a_language_model_trained_whole_is_saved_and_loaded(fresh: Callable[..., Setup], tmp_path: Path) -> None:
    setup = fresh(lora_rank=0, own_language_model=True)
    model = setup.model
    model.train_only(["adapter", "language_model"])
    frozen = {name: value.clone() for name, value in model.network.named_parameters() if not value.requires_grad}
    assert frozen
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    plain = model.host.load_network()
    for _ in range(2):
        model(setup.processor.encode(setup.samples, [TURNS, TURNS])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(tmp_path)
    loaded = HimmelForConditionalGeneration.from_pretrained(tmp_path)
    ours, theirs = model.network.state_dict(), loaded.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    moved = {name for name, value in plain.state_dict().items() if not torch.equal(value, theirs[name])}
    assert any(name.endswith("layers.1.mlp.down_proj.weight") for name in moved)
    assert not moved & frozen.keys()
    loaded.train_only(["language_model"])
    assert any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_lora_beside_a_language_model_of_its_own_is_refused(nano_folder: str) -> None:
    with pytest.raises(UsageError, match="lora_rank=4 cannot be combined with own_language_model"):
        nano_config(nano_folder, own_language_model=True)


def test_transformers_knows_the_configuration(nano: Setup, tmp_path: Path) -> None:
    nano.model.save_pretrained(tmp_path)
    found = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(found, HimmelConfig)
    assert own_settings(found) == own_settings(nano.config)
