"""What a stage begins with: the parts of its model, and what of a checkpoint is taken over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from himmel.training.beginning import initial_model, left_out
from himmel.training.plan import plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_recipe
from tiny_hosts import make_decomposition
from tiny_recipes import tiny_base


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_stage_computes_attention_as_its_recipe_says(nano_folder: str, tmp_path: Path, attention: str) -> None:
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    changes = {"stage2.compute.attn_implementation": attention}
    stage = plan_stages(resolve_recipe("default", base=base, overrides=changes).recipe)[-1]
    model = initial_model(replace(stage, after=None))
    assert model.network.model.language_model.config._attn_implementation == attention


@pytest.mark.parametrize("kind", ["nano", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "internvl", "llava_onevision"])
def test_stage_1_holds_no_language_model(kind: str, tiny_host: Callable[[str], str], tmp_path: Path) -> None:
    """Its host sees pictures as the whole one does, and is no larger than its vision part and embeddings."""
    base = str(tiny_base(tmp_path, of="nano" if kind == "nano" else "qwen2_5_vl", host=tiny_host(kind)))
    plan = plan_stages(resolve_recipe("default", base=base, overrides={"projector": "null"}).recipe)
    first, second = (replace(stage, after=None) for stage in plan)
    alone, whole = initial_model(first), initial_model(second)
    pictures = make_decomposition().anchors
    features = []
    for model in (alone, whole):
        images = model.host.join_images([model.host.prepare_images([one.image for one in pictures])])
        features.append(torch.cat([one.float() for one in model.see(images).pooler_output]))
    torch.testing.assert_close(features[0], features[1])
    names = [name for name, _ in alone.network.named_parameters()]
    assert not [name for name in names if "language_model.layers" in name or "lm_head" in name or ".lora_" in name]
    assert alone.network.get_input_embeddings().weight.shape == whole.network.get_input_embeddings().weight.shape


@pytest.mark.parametrize("kind", ["nano", "qwen2_5_vl"])
def test_full_fine_tuning_goes_on_from_lora(kind: str, tiny_host: Callable[[str], str], tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path, of=kind, host=tiny_host(kind)))
    exact = {"stages": "[2]", "projector": "null", "stage2.compute.precision": "float32"}

    def begin(**changes: str) -> HimmelForConditionalGeneration:
        overrides = exact | {name.replace("__", "."): value for name, value in changes.items()}
        stage = plan_stages(resolve_recipe("default", base=base, overrides=overrides).recipe)[-1]
        return initial_model(replace(stage, after=None)).eval()

    learned = begin()
    with torch.no_grad():
        for name, value in learned.network.named_parameters():
            if ".lora_B." in name:
                value.normal_(std=0.5)
    learned.save_pretrained(tmp_path / "learned")
    learned, whole = (
        begin(begin_with=str(tmp_path / "learned")),
        begin(begin_with=str(tmp_path / "learned"), stage2__trains="full"),
    )
    assert (whole.config.lora_rank, whole.config.own_language_model) == (0, True)
    assert not [name for name, _ in whole.network.named_parameters() if ".lora_" in name]
    losses = []
    for model in (learned, whole, begin()):
        processor = HimmelProcessor(model.config, model.host)
        inputs = processor.encode([processor.prepare(make_decomposition())], [[("What moves?", "the ball")]])
        losses.append(model(inputs).loss.item())
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert losses[2] != pytest.approx(losses[0], abs=1e-2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, []),
        ({"model.lora_rank": "4"}, ["LoRA of {} has", "add --set model.lora_rank=32 --set model.lora_alpha=64"]),
        ({"model.lora_rank": "4", "stage2.trains": "full"}, []),
        ({"model.adapter.fusion": "weighted_sum"}, ["The adapter of {} has other settings", "differ in fusion"]),
    ],
)
def test_what_of_a_checkpoint_is_left_out_is_said(
    tiny_host: Callable[[str], str], tmp_path: Path, change: dict[str, str], says: list[str]
) -> None:
    base = str(tiny_base(tmp_path, of="qwen2_5_vl", host=tiny_host("qwen2_5_vl")))
    begun = run_recipe("default", base=base, overrides={"stages": "[]"})
    changes = {**change, "begin_with": str(begun)}
    found = left_out(plan_stages(resolve_recipe("default", base=base, overrides=changes).recipe)[-1])
    assert len(found) == bool(says)
    assert all(part.format(begun) in found[0] for part in says)


def test_training_says_what_is_left_out_before_it_begins(tiny_host: Callable[[str], str], tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path, of="qwen2_5_vl", host=tiny_host("qwen2_5_vl")))
    begun = run_recipe("default", base=base, overrides={"stages": "[]"})
    changes = {"stages": "[]", "model.lora_rank": "4", "begin_with": str(begun)}
    told: list[str] = []
    run_recipe("default", base=base, overrides=changes, tell=told.append)
    assert [sentence.split()[0] for sentence in told] == ["LoRA", "start"]
    told.clear()
    run_recipe("default", base=base, overrides=changes, tell=told.append)
    assert [sentence.split()[0] for sentence in told] == ["start"]
