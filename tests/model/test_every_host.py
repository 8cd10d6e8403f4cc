"""What must hold on every host, with the same code."""

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from himmel.hosts import Loading, load_host
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.targets import align_targets
from tiny_hosts import HOST_KINDS, Setup, build, host_config, make_decomposition, qwen_config, tiny_adapter

ASK = [("What moves?", None)]
LONGER = [("Which way does the red ball move, and how often does it stop?", None)]
TURNS = [("What moves?", "the red ball"), ("Which way?", "left")]
PLACES = {
    "qwen2_5_vl": {"model.visual": "disk", "model.language_model": "cpu", "lm_head": "cpu"},
    "qwen3_vl": {"model.visual": "disk", "model.language_model": "cpu", "lm_head": "cpu"},
    "internvl": {
        "model.vision_tower": "disk",
        "model.multi_modal_projector": "cpu",
        "model.language_model": "cpu",
        "lm_head": "cpu",
    },
    "llava_onevision": {
        "model.vision_tower": "disk",
        "model.image_newline": "cpu",
        "model.multi_modal_projector": "cpu",
        "model.language_model": "cpu",
        "lm_head": "cpu",
    },
}


def test_a_padded_batch_is_its_samples(host_setup: Setup) -> None:
    together = host_setup.processor.encode(host_setup.samples, [ASK, LONGER])
    assert host_setup.samples[0].num_intervals != host_setup.samples[1].num_intervals
    assert not together.attention_mask[0, 0]
    with torch.no_grad():
        logits = host_setup.model(together).logits
        for index, (sample, turns) in enumerate(zip(host_setup.samples, [ASK, LONGER], strict=True)):
            alone = host_setup.model(host_setup.processor.encode([sample], [turns])).logits
            torch.testing.assert_close(logits[index, -alone.shape[1] :], alone[0], rtol=1e-4, atol=1e-5)


def test_independent_turns_are_asked_as_if_alone(host_setup: Setup) -> None:
    packed = host_setup.processor.encode(host_setup.samples, [TURNS, TURNS[1:]], independent=True)
    with torch.no_grad():
        logits = host_setup.model(packed).logits
        alone = [
            host_setup.model(host_setup.processor.encode([sample], [[turn]])).logits
            for sample, turns in zip(host_setup.samples, [TURNS, TURNS[1:]], strict=True)
            for turn in turns
        ]
    torch.testing.assert_close(logits, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scheme", ["grid", "sequential"])
def test_decoding_with_the_cache_is_computing_all_again(
    scheme: str, host_kind: str, host_folder: str, host_setup: Setup
) -> None:
    processor = HimmelProcessor(host_config(host_kind, host_folder, position_scheme=scheme), host_setup.model.host)
    inputs = processor.encode(host_setup.samples, [ASK, LONGER])
    model, length = host_setup.model, inputs.input_ids.shape[1]
    generated = model.generate(inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    never = [model.host.motion_token_id, model.network.generation_config.eos_token_id]
    ids, positions, mask = inputs.input_ids, inputs.position_ids, inputs.attention_mask
    for step in range(4):
        given = replace(inputs, input_ids=ids, position_ids=positions, attention_mask=mask)
        with torch.no_grad():
            scores = model(given).logits[:, -1]
        scores[:, never] = -torch.inf
        assert torch.equal(generated[:, length + step], scores.argmax(-1))
        ids = torch.cat([ids, scores.argmax(-1, keepdim=True)], dim=1)
        mask = torch.cat([mask, mask[:, -1:]], dim=1)
        positions = torch.cat([positions, positions[..., -1:] + 1], dim=-1)


def test_targets_of_alignment_are_changes_of_the_hosts_own_features(host_setup: Setup) -> None:
    host, network = host_setup.model.host, host_setup.model.network
    targets = align_targets(host, network, host_setup.samples)
    expected = []
    for sample in host_setup.samples:
        seen = [host.join_images([images]) for images in (sample.images, sample.far_images)]
        with torch.no_grad():
            tokens = [one for images in seen for one in host.image_features(network, images).pooler_output]
        means = [one.float().mean(0) for one in tokens]
        expected += [later - sooner for sooner, later in pairwise(means)]
    assert targets.shape == (5, host.hidden_size)
    torch.testing.assert_close(targets, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_beams_of_a_batch_are_those_of_its_samples(host_setup: Setup) -> None:
    options: dict[str, Any] = {"num_beams": 2, "max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}
    together = host_setup.model.generate(host_setup.processor.encode(host_setup.samples, [ASK, ASK]), **options)
    for index, sample in enumerate(host_setup.samples):
        alone = host_setup.model.generate(host_setup.processor.encode([sample], [ASK]), **options)
        assert torch.equal(together[index, -3:], alone[0, -3:])


def test_gradients_reach_what_learns_and_nothing_else(host_setup: Setup) -> None:
    model = copy.deepcopy(host_setup.model)
    model(host_setup.processor.encode(host_setup.samples, [TURNS, TURNS])).loss.backward()
    touched = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert all(name.startswith("adapter.") or ".lora_" in name for name in touched)
    lora = {name for name, _ in model.named_parameters() if ".lora_" in name}
    assert lora <= touched
    assert {name.split("language_model.")[1].split(".lora_")[0].split(".")[-1] for name in lora} == {
        f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")
    }
    assert all(float(value.grad.abs().max()) > 0 for name, value in model.named_parameters() if name in lora)
    assert any(name.startswith("adapter.branches") for name in touched)


def test_checkpointing_gives_the_same_gradients(host_setup: Setup) -> None:
    inputs = host_setup.processor.encode(host_setup.samples, [TURNS, TURNS])

    def gradients(*, checkpointing: bool) -> dict[str, torch.Tensor]:
        model = copy.deepcopy(host_setup.model)
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.train()
        model(inputs).loss.backward()
        return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}

    plain, checked = gradients(checkpointing=False), gradients(checkpointing=True)
    assert plain.keys() == checked.keys()
    assert len(plain) > 20
    for name, value in plain.items():
        torch.testing.assert_close(checked[name], value, rtol=1e-5, atol=1e-8)


def test_a_checkpoint_says_the_same(host_setup: Setup, tmp_path: Path) -> None:
    model = copy.deepcopy(host_setup.model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.bfloat16().float()
    model.save_pretrained(tmp_path / "saved")
    loaded = HimmelForConditionalGeneration.from_pretrained(tmp_path / "saved")
    inputs = HimmelProcessor.from_pretrained(tmp_path / "saved").encode(host_setup.samples, [ASK, LONGER])
    with torch.no_grad():
        assert torch.equal(loaded(inputs).logits, model(inputs).logits)


def test_a_bfloat16_host_works_with_a_float32_adapter(host_kind: str, host_folder: str) -> None:
    config = host_config(host_kind, host_folder)
    model = HimmelForConditionalGeneration.from_config(config, loading=Loading(dtype=torch.bfloat16))
    processor = HimmelProcessor(config, model.host)
    sample = processor.prepare(make_decomposition())
    assert model.network.get_input_embeddings().weight.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    output = model(processor.encode([sample], [TURNS], independent=True))
    output.loss.backward()
    assert output.logits.dtype == torch.bfloat16
    assert model.generate(processor.encode([sample], [ASK]), max_new_tokens=2).shape[0] == 1
    scores = model.score_choices(processor.encode_choices([sample], [[("Which way?", ["left", "right"])]]))
    assert torch.isfinite(scores[0][0]).all()


def compiled_like_plain(setup: Setup, backend: str) -> None:
    model = copy.deepcopy(setup.model)
    inputs = setup.processor.encode(setup.samples, [TURNS, TURNS])
    expected = model(inputs)
    expected.loss.backward()
    gradients = {name: value.grad.clone() for name, value in model.adapter.named_parameters() if value.grad is not None}
    model.zero_grad()
    torch._dynamo.reset()
    model.adapter.compile(backend=backend)
    output = model(inputs)
    output.loss.backward()
    torch.testing.assert_close(output.loss, expected.loss, rtol=1e-5, atol=1e-6)
    for name, value in gradients.items():
        torch.testing.assert_close(model.adapter.get_parameter(name).grad, value, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_adapter_compiles(host_setup: Setup) -> None:
    compiled_like_plain(host_setup, "aot_eager")


@pytest.mark.slow
def test_the_adapter_compiles_to_machine_code(qwen_folder: str) -> None:
    """Forward, and without the state-space scan, whose compilation alone takes minutes."""
    setup = build(qwen_config(qwen_folder, adapter_config=tiny_adapter(48, encoder="none")))
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    with torch.no_grad():
        expected = setup.model(inputs).motion.tokens
        torch._dynamo.reset()
        setup.model.adapter.compile(backend="inductor")
        torch.testing.assert_close(setup.model(inputs).motion.tokens, expected, rtol=1e-5, atol=1e-6)


def test_motion_tokens_get_no_deepstack_features(tiny_host: Callable[[str], str]) -> None:
    setup = build(qwen_config(tiny_host("qwen3_vl")))
    seen: dict[str, Any] = {}
    language_model = setup.model.network.model.language_model
    language_model.register_forward_pre_hook(lambda _, __, given: seen.update(given), with_kwargs=True)
    inputs = setup.processor.encode(setup.samples, [ASK, ASK])
    with torch.no_grad():
        setup.model(inputs)
        vision = setup.model.host.image_features(
            setup.model.network, setup.model.host.join_images([sample.images for sample in setup.samples])
        )
    assert torch.equal(seen["visual_pos_masks"], inputs.input_ids == setup.model.host.image_token_id)
    assert int((inputs.input_ids == setup.model.host.motion_token_id).sum()) == 4 * 5
    assert len(seen["deepstack_visual_embeds"]) == 2
    for given, made in zip(seen["deepstack_visual_embeds"], vision.deepstack_features, strict=True):
        assert torch.equal(given, torch.cat(list(made)))


def test_a_mixture_of_experts_is_a_host_as_well(tiny_host: Callable[[str], str]) -> None:
    setup = build(qwen_config(tiny_host("qwen3_vl_moe")))
    together = setup.processor.encode(setup.samples, [TURNS, TURNS[1:]])
    setup.model(together).loss.backward()
    touched = {name for name, parameter in setup.model.named_parameters() if parameter.grad is not None}
    assert all(name.startswith("adapter.") or ".lora_" in name for name in touched)
    projections = {name.split(".lora_")[0].split(".")[-1] for name in touched if ".lora_" in name}
    assert projections == {"q_proj", "k_proj", "v_proj", "o_proj"}
    asked = setup.processor.encode(setup.samples, [ASK, LONGER])
    generated = setup.model.generate(asked, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    for index, (sample, turns) in enumerate(zip(setup.samples, [ASK, LONGER], strict=True)):
        alone = setup.processor.encode([sample], [turns])
        said = setup.model.generate(alone, max_new_tokens=3, min_new_tokens=3, do_sample=False)
        assert torch.equal(generated[index, -3:], said[0, -3:])


@pytest.mark.filterwarnings("ignore:The following device_map keys")
@pytest.mark.parametrize("kind", PLACES)
def test_a_device_map_changes_nothing_but_places(kind: str, tiny_host: Callable[[str], str]) -> None:
    """On one device, as accelerate maps it, and with the tower left on disk until it is needed."""
    config = qwen_config(tiny_host(kind), lora_rank=0)
    plain = build(config)
    inputs = plain.processor.encode(plain.samples, [ASK, LONGER])
    host: Any = load_host(config.host, max_anchor_tokens=config.max_anchor_tokens)
    for network in (host.load_network(Loading(device_map="auto")), spread(host)):
        model = HimmelForConditionalGeneration(config, host, network)
        model.adapter.load_state_dict(plain.model.adapter.state_dict())
        with torch.no_grad():
            assert torch.equal(model(inputs).logits, plain.model(inputs).logits)


def spread(host: Any) -> Any:
    network = host.network_class.from_pretrained(host.folder, device_map=PLACES[host.name])
    assert any(parameter.device.type == "meta" for parameter in network.parameters())
    return network


def test_every_kind_is_tested() -> None:
    assert set(HOST_KINDS) == {"nano", *PLACES}
