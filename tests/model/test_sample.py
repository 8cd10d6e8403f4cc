from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from himmel.errors import HostError
from himmel.model import PreparedSample, align_targets
from himmel.model.sample import pad_steps
from himmel.video import Video
from tiny_hosts import Setup, make_decomposition


def equal(one: PreparedSample, other: PreparedSample) -> bool:
    first, second = one.tensors(), other.tensors()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_sample_survives_a_file(setup: Setup, tmp_path: Path) -> None:
    for sample in setup.samples:
        save_file(sample.tensors(), tmp_path / "sample.safetensors")
        assert equal(sample, PreparedSample.from_tensors(load_file(tmp_path / "sample.safetensors")))


def test_steps_fill_from_the_left(nano: Setup) -> None:
    second = nano.samples[1]
    assert second.step_mask.tolist() == [[True, False, False, False], [False] * 4, [True] * 4]
    assert not second.motion[~second.step_mask].any()
    assert second.motion[second.step_mask].any()
    assert "float16[3, 4, 2, 12, 12]" in repr(second)


def test_padding_keeps_steps_where_they_were(nano: Setup) -> None:
    first, second = nano.samples
    joined = pad_steps([first.motion, second.motion])
    assert joined.shape == (5, 4, 2, 12, 12)
    assert torch.equal(joined[:2, :3], first.motion)
    assert not joined[:2, 3:].any()


def test_the_rgb_context_is_the_anchor(qwen: Setup) -> None:
    assert qwen.samples[0].context is not None
    assert qwen.samples[0].context.shape == (2, 3, 16, 16)
    assert float(qwen.samples[0].context.abs().max()) <= 1


def test_a_real_file_goes_all_the_way(nano: Setup, encode_clip: Callable[..., Path]) -> None:
    path = encode_clip("pan.mp4", options={"g": "20", "bf": "2"}, num_frames=40)
    sample = nano.processor.prepare(Video(path).decompose(num_anchors=2, steps_per_interval=4))
    right, down = sample.motion[sample.step_mask].float().mean((0, 2, 3)).tolist()
    # 2 of 160 pixels to the right and 1 of 128 down, each frame.
    assert right == pytest.approx(1.25, abs=0.2)
    assert down == pytest.approx(0.78, abs=0.2)
    inputs = nano.processor.encode([sample], [[("What moves?", None)]])
    assert nano.model.generate(inputs, max_new_tokens=2).shape[1] > inputs.input_ids.shape[1]


def test_shuffled_motion_keeps_the_anchors(nano: Setup) -> None:
    first = nano.samples[0]
    other = nano.model.keep_features(nano.processor.prepare(make_decomposition((2, 4), seed=9)))
    mixed = first.with_streams_of(other)
    assert mixed.images == first.images
    assert torch.equal(mixed.motion, other.motion)
    assert mixed.context is not None
    assert torch.equal(mixed.context, other.images["tower_features"])
    prompts = [[("What moves?", None)]]
    tokens = [nano.model(nano.processor.encode([sample], prompts)).motion for sample in (mixed, other)]
    assert torch.equal(tokens[0].tokens, tokens[1].tokens)


def test_shuffling_needs_as_many_intervals_and_a_context(nano: Setup) -> None:
    first, second = nano.samples
    with pytest.raises(HostError, match="A video of 2 intervals cannot take the motion of one with 3"):
        first.with_streams_of(second)
    with pytest.raises(HostError, match="no context stream yet"):
        first.with_streams_of(nano.processor.prepare(make_decomposition((2, 2))))


def test_targets_are_differences_of_mean_tokens(setup: Setup) -> None:
    model = setup.model
    targets = align_targets(model.host, model.network, setup.samples)
    assert targets.shape == (5, setup.config.adapter.host_hidden_size)
    means = []
    for images in (setup.samples[0].images, setup.samples[0].far_images):
        for tokens in model.host.image_features(model.network, model.host.join_images([images])).pooler_output:
            means.append(tokens.mean(0).numpy())
    torch.testing.assert_close(targets[:2], torch.from_numpy(np.diff(np.stack(means), axis=0)), rtol=1e-4, atol=1e-5)


def test_targets_need_a_far_image(setup: Setup) -> None:
    with pytest.raises(HostError, match="Sample 1 has no far image"):
        align_targets(
            setup.model.host, setup.model.network, [setup.samples[0], replace(setup.samples[1], far_images={})]
        )
