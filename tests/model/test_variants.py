"""Encoders and streams inside the whole model, on both kinds of host."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from himmel.adapter import AdapterConfig
from himmel.adapter.pictures import draw_maps
from himmel.errors import HostError
from himmel.hosts import Host
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor, shared_tower
from himmel.model.streams import rgb_channels
from himmel.settings import ENCODERS
from himmel.video import Decomposition
from tiny_hosts import Setup, build, host_config, make_decomposition, tiny_adapter

Make = Callable[..., Setup]

TURNS = [("What moves?", "the red ball")]
SIGLIP = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def _config(kind: str, folder: str, **changes: object) -> HimmelConfig:
    plain = host_config(kind, folder)
    adapter = AdapterConfig.from_dict({**plain.adapter.to_dict(), "siglip": SIGLIP, **changes})
    return host_config(kind, folder, adapter_config=adapter)


@pytest.fixture(params=["nano", "qwen2_5_vl"])
def make(request: pytest.FixtureRequest, tiny_host: Callable[[str], str]) -> Make:
    """Models of a kind of host that keeps features, and of one that does not."""
    return lambda **changes: build(_config(request.param, tiny_host(request.param), **changes))


@pytest.fixture
def make_any(host_kind: str, host_folder: str) -> Make:
    """Models of every kind of host."""
    return lambda **changes: build(_config(host_kind, host_folder, **changes))


def _with_difference(found: Decomposition, seed: int = 0) -> Decomposition:
    rng = np.random.default_rng(seed)
    intervals = [
        replace(one, rgb_difference=rng.normal(0, 30, (len(one.frames), 3, *found.grid)).astype(np.float32))
        for one in found.intervals
    ]
    return replace(found, intervals=tuple(intervals))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_learns_answers_and_comes_back(make: Make, encoder: str, tmp_path) -> None:
    setup = make(encoder=encoder)
    inputs = setup.processor.encode(setup.samples, [TURNS, TURNS])
    loss = setup.model(inputs).loss
    loss.backward()
    for name, branch in setup.model.adapter.branches.items():
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in branch.parameters()), name
    asked = setup.processor.encode(setup.samples, [[("What moves?", None)]] * 2)
    assert len(setup.model.generate(asked, max_new_tokens=3, do_sample=False)) == 2
    setup.model.save_pretrained(tmp_path)
    again = HimmelForConditionalGeneration.from_pretrained(tmp_path)
    assert again.config.adapter.encoder == encoder
    # Checkpoints are bfloat16.
    torch.testing.assert_close(again(inputs).loss, loss, rtol=0.02, atol=0)


def test_the_host_sees_each_existing_step_drawn_as_a_picture(make_any: Make) -> None:
    setup = make_any(encoder="shared_vit")
    host, network = setup.model.host, setup.model.network
    sample = setup.samples[1]
    inputs = setup.processor.encode([sample], [TURNS])
    context = torch.zeros(3, *setup.config.adapter.context_shape)
    streams = shared_tower.StreamInputs(
        motion=inputs.motion.motion,
        residual=inputs.motion.residual,
        context=context,
        step_mask=inputs.motion.step_mask,
    )
    seen = setup.model.adapter_inputs(streams)
    assert seen.motion.shape == (3, 4, setup.config.adapter.host_hidden_size, 1, 1)
    assert not seen.motion.requires_grad
    for name, maps, features in (
        ("motion", streams.motion, seen.motion),
        ("residual", streams.residual, seen.residual),
    ):
        assert (features[~streams.step_mask] == 0).all()
        for place in streams.step_mask.nonzero().tolist():
            drawn = draw_maps(name, maps[tuple(place)][None], shared_tower.PICTURE_SIZE)[0]
            picture = (drawn * 255).round().byte().permute(1, 2, 0).numpy()
            alone = host.image_features(network, host.join_images([host.prepare_images([picture])])).pooler_output[0]
            torch.testing.assert_close(features[tuple(place)].flatten(), alone.mean(0), rtol=1e-3, atol=1e-4)


def test_the_tower_sees_few_pictures_at_once(make_any: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = make_any(encoder="shared_vit")
    sizes: list[int] = []
    real = shared_tower.see_pictures

    def counted(host: Host, network, pictures):
        sizes.append(len(pictures))
        return real(host, network, pictures)

    monkeypatch.setattr(shared_tower, "see_pictures", counted)
    inputs = setup.processor.encode([setup.processor.prepare(make_decomposition((20, 13)))], [TURNS])
    setup.model(inputs)
    assert sizes == [16, 16, 1] * 2


def test_a_shared_tower_adds_no_backbone(make_any: Make) -> None:
    shared, own = (make_any(encoder=name).model.adapter for name in ("shared_vit", "siglip"))
    assert sum(p.numel() for p in shared.branches["motion"].parameters()) < 40 * own.config.host_hidden_size
    assert not any("backbone" in name for name, _ in shared.named_parameters())


def test_rgb_difference_stands_in_motions_place(make: Make) -> None:
    names = ("context", "rgb_diff", "residual")
    setup_ = make()
    config = setup_.config
    changed = {**config.adapter.to_dict(), "streams": names}
    config = HimmelConfig.from_dict({**config.to_dict(), "adapter_config": changed})
    assert config.rgb_difference
    processor = HimmelProcessor(config, setup_.model.host)
    plain = make_decomposition((3, 2))
    with pytest.raises(HostError, match="rgb_difference=True"):
        processor.prepare(plain)
    sample = processor.prepare(_with_difference(plain))
    assert sample.motion.shape == (2, 3, 3, 12, 12)
    model = HimmelForConditionalGeneration.from_config(config)
    outputs = [
        model(processor.encode([processor.prepare(_with_difference(plain, seed))], [TURNS])).logits for seed in (0, 1)
    ]
    assert not torch.allclose(*outputs, atol=1e-4)


def test_rgb_difference_keeps_its_mean_and_unit() -> None:
    found = _with_difference(make_decomposition((2,)))
    config = HimmelConfig(adapter_config=tiny_adapter(32, streams=("context", "rgb_diff")))
    small = rgb_channels(found.intervals[0], config.adapter.map_size)
    assert small.shape == (2, 3, 12, 12)
    difference = found.intervals[0].rgb_difference
    assert difference is not None
    np.testing.assert_allclose(small.mean((2, 3)), difference.mean((2, 3)) / 16, atol=1e-4)


def test_siglip_computed_again_in_the_backward_pass_gives_the_same_gradients(make: Make) -> None:
    setup = make(encoder="siglip")
    inputs = setup.processor.encode(setup.samples, [TURNS, TURNS])
    gradients = []
    for again in (False, True):
        setup.model.train()
        if again:
            setup.model.gradient_checkpointing_enable()
            assert all(backbone.is_gradient_checkpointing for backbone in setup.model.adapter.transformers())
        setup.model.zero_grad()
        setup.model(inputs).loss.backward()
        parameters = setup.model.adapter.branches["motion"].backbone.parameters()
        gradients.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))
    assert len(setup.model.adapter.transformers()) == 2
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


def test_a_call_returns_its_own_gates(make: Make) -> None:
    setup = make()
    model, processor, samples = setup.model, setup.processor, setup.samples
    inputs = processor.encode(samples, [TURNS, TURNS])
    motion = model(inputs).motion
    assert motion is not None
    assert motion.gates is not None
    assert torch.equal(motion.gates.step_mask, inputs.motion.step_mask)
    means = motion.gates.mean_shares(inputs.motion.intervals_per_sample.tolist())
    torch.testing.assert_close(means.sum(1), torch.ones(2))
    asked = processor.encode_choices(samples[1:], [[("Which?", ["left", "right"])]])
    alone = model(asked.inputs).motion
    torch.testing.assert_close(alone.gates.mean_shares()[0], means[1], rtol=1e-4, atol=1e-5)
    assert model(processor.encode(samples, [TURNS, TURNS], motion=False)).motion is None
