"""The budget against the prompt that the processor makes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from himmel.errors import UsageError
from himmel.model import HimmelProcessor
from himmel.model.budget import BudgetRequest, PromptCost, count_prompt, plan_budget, plan_families
from himmel.model.placement import PLACEMENTS
from tiny_hosts import Setup, make_decomposition

QUESTION = "Which way does the red ball move?"


def real_cost(processor: HimmelProcessor, prompt: BatchFeature, frames: int) -> PromptCost:
    counts = processor.count_tokens(prompt)
    positions = prompt.position_ids
    # Of four axes the first is the plain order, by which the host masks.
    axes = positions[1:] if positions.ndim == 3 else positions
    return PromptCost(
        frames, counts["text"], counts["image"], counts["motion"], prompt.input_ids.shape[1], int(axes.max()) + 1
    )


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(("size", "steps"), [((128, 96), (3, 2)), ((96, 160), (1, 2, 1)), ((333, 61), (2,) * 7)])
def test_the_budget_is_the_real_prompts(
    host_setup: Setup, placement: str, size: tuple[int, int], steps: tuple[int, ...]
) -> None:
    config = type(host_setup.config).from_dict({**host_setup.config.to_dict(), "placement": placement})
    for tokens in (1, 3, 4):
        config.tokens_per_interval = tokens
        processor = HimmelProcessor(config, host_setup.model.host)
        sample = processor.prepare(make_decomposition(steps, size=size))
        for motion in (True, False):
            real = processor.encode([sample], [[(QUESTION, None)]], motion=motion)
            told = count_prompt(
                processor, width=size[0], height=size[1], num_anchors=len(steps), question=QUESTION, motion=motion
            )
            assert told == real_cost(processor, real, len(steps))


@pytest.mark.parametrize("scheme", ["grid", "sequential"])
def test_salience_does_not_change_what_attention_costs(setup: Setup, scheme: str) -> None:
    changes = {"placement": "attention", "position_scheme": scheme}
    config = type(setup.config).from_dict({**setup.config.to_dict(), **changes})
    processor = HimmelProcessor(config, setup.model.host)
    sample = processor.prepare(make_decomposition((2, 2, 2, 2)))
    told = count_prompt(processor, width=128, height=96, num_anchors=4, question=QUESTION)
    rng = np.random.default_rng(0)
    for _ in range(5):
        loud = torch.from_numpy(rng.exponential(size=(4, 1, 1, 1, 1)) ** 4).half()
        skewed = replace(sample, motion=sample.motion * loud, residual=sample.residual * loud)
        assert real_cost(processor, processor.encode([skewed], [[(QUESTION, None)]]), 4) == told


def test_a_whole_budget(qwen_folder: str) -> None:
    request = BudgetRequest(
        width=640, height=360, duration=3600, num_anchors=8, tokens_per_interval=32, dense_frames=32, question=QUESTION
    )
    found = plan_budget(qwen_folder, request)
    # 640 x 360 pixels are 23 x 13 tokens of 28 x 28 pixels, which is more than 256: 21 x 12 are left.
    assert found.full.image == found.anchors_only.image == 8 * 21 * 12
    assert (found.full.motion, found.anchors_only.motion) == (8 * 32, 0)
    assert found.dense.image == 4 * found.full.image
    assert found.full.total == found.full.text + found.full.image + found.full.motion
    assert found.ratios["full"] == found.full.total / found.dense.total < 0.35
    assert found.spacing == {"anchor": 450.0, "step": 28.125, "dense frame": 112.5}


def test_an_empty_question_is_refused(nano_folder: str) -> None:
    with pytest.raises(UsageError, match="The question is empty"):
        plan_budget(nano_folder, BudgetRequest(width=64, height=64, duration=1, question=" "))


def test_families_at_their_published_sizes() -> None:
    request = BudgetRequest(width=1280, height=720, duration=60)
    told = {one.kind: one for one in plan_families(request)}
    # 720p is 46 x 26 tokens of 28 pixels, or 40 x 22 of 32, more than 256: 21 x 12 are left. One tile. 14 x 14 tokens
    # and a new line.
    per_picture = {"nano": 16, "qwen2_5_vl": 252, "qwen3_vl": 252, "internvl": 256, "llava_onevision": 197}
    assert {kind: one.dense.image for kind, one in told.items()} == {k: 32 * n for k, n in per_picture.items()}
    assert {(one.full.motion, one.full.text, one.full.positions) for one in told.values()} == {(512, None, None)}
    large = {one.kind: one for one in plan_families(replace(request, max_anchor_tokens=2000, placement="attention"))}
    assert (large["qwen2_5_vl"].anchors_only.total, large["qwen3_vl"].anchors_only.total) == (8 * 46 * 26, 8 * 40 * 22)
    assert {one.full.motion for one in large.values()} == {512 + 62}


def test_families_that_take_no_picture_so_small() -> None:
    with pytest.raises(UsageError, match="less than any picture takes on this host"):
        plan_families(BudgetRequest(width=64, height=64, duration=1, max_anchor_tokens=20))
