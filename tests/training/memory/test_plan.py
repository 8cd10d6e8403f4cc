"""Estimates of memory against what tiny models really take, and against one H100."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from himmel.model import HimmelProcessor
from himmel.model.prompt import IGNORED
from himmel.training.beginning import initial_model
from himmel.training.memory.layers import LayerSize
from himmel.training.memory.plan import device_memory, plan_memory
from himmel.training.memory.sizes import StageSizes, measure_stage
from himmel.training.plan import Stage, plan_stages
from himmel.training.recipe import ComputeSection
from himmel.training.resolve import resolve_recipe
from himmel.training.run import instruct_model
from tiny_hosts import make_decomposition
from tiny_recipes import tiny_base

_ROOT = Path(__file__).parents[3]


def _stage(folder: Path, kind: str, host: str, **changes: str) -> Stage:
    own = {} if kind == "nano" else {"max_anchor_tokens": 12, "adapter": {"context_size": 16}}
    base = tiny_base(folder, of=kind, host=host, **own)
    changes = {"projector": "null", "stages": "[2]", "stage2.full_compute": "null", **changes}
    return plan_stages(resolve_recipe("default", base=base, overrides=changes).recipe)[-1]


def _train_once(stage: Stage) -> tuple[dict[str, int], StageSizes]:
    """Bytes after one step on two videos, and the sizes of the same step."""
    torch.manual_seed(0)
    model = initial_model(stage)
    learner = instruct_model(stage, model).train()
    processor = HimmelProcessor(model.config, model.host)
    sample = processor.prepare(make_decomposition((2,) * 8))
    inputs = processor.encode([sample] * 2, [[("What moves? " * 20, "the ball " * 10)]] * 2)
    own = [*learner.parameters(), *learner.buffers()]
    weights = {one.untyped_storage().data_ptr() for one in own}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    optimizer = torch.optim.AdamW([one for one in learner.parameters() if one.requires_grad])
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=stage.compute.precision == "bfloat16")
    with saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        loss = learner(inputs)["loss"]
    loss.backward()
    optimizer.step()
    assert inputs.labels is not None
    answer = int((inputs.labels != IGNORED).sum()) // 2
    sizes = replace(measure_stage(stage), prompt=inputs.input_ids.shape[1], answer=answer)
    measured = {
        "weights": sum(one.nbytes for one in own),
        "gradients": sum(one.grad.nbytes for one in learner.parameters() if one.grad is not None),
        "optimizer": sum(value.nbytes for state in optimizer.state.values() for value in state.values()),
        "activations": sum(storage.nbytes() for storage in kept.values()),
    }
    return measured, sizes


_CASES = [
    ("nano", "float32", "lora"),
    ("nano", "float32", "full"),
    ("qwen2_5_vl", "float32", "lora"),
    ("qwen2_5_vl", "bfloat16", "lora"),
    ("qwen2_5_vl", "bfloat16", "full"),
    ("qwen3_vl", "float32", "full"),
    ("qwen3_vl", "bfloat16", "lora"),
    ("internvl", "bfloat16", "lora"),
    ("llava_onevision", "float32", "lora"),
]


@pytest.mark.parametrize(("kind", "precision", "trains"), _CASES)
def test_a_step_takes_what_is_said(
    kind: str, precision: str, trains: str, tiny_host: Callable[[str], str], tmp_path: Path
) -> None:
    """Weights, gradients and the optimiser to the byte; activations within a tenth."""
    compute = f"{{precision: {precision}, gradient_checkpointing: false}}"
    stage = _stage(tmp_path, kind, tiny_host(kind), **{"stage2.trains": trains, "stage2.compute": compute})
    measured, sizes = _train_once(stage)
    said = device_memory(sizes, stage.compute, devices=1, videos=2)
    for name in ("weights", "gradients", "optimizer"):
        assert vars(said)[name] == measured[name], name
    assert said.activations == pytest.approx(measured["activations"], rel=0.1)


def test_a_projector_that_learns_keeps_what_goes_into_its_layers(
    tiny_host: Callable[[str], str], tmp_path: Path
) -> None:
    options = {"stage2.also_train": "[host_projector]", "stage2.compute": "{precision: float32}"}
    stage = _stage(tmp_path, "nano", tiny_host("nano"), **options)
    measured, sizes = _train_once(stage)
    said = device_memory(sizes, stage.compute, devices=1, videos=2)
    assert said.gradients == measured["gradients"]
    assert said.activations == pytest.approx(measured["activations"], rel=0.1)


def test_checkpointing_keeps_what_goes_into_each_layer(tiny_host: Callable[[str], str], tmp_path: Path) -> None:
    found = {}
    for on in ("true", "false"):
        compute = f"{{precision: bfloat16, gradient_checkpointing: {on}}}"
        stage = _stage(tmp_path, "qwen2_5_vl", tiny_host("qwen2_5_vl"), **{"stage2.compute": compute})
        measured, sizes = _train_once(stage)
        found[on] = device_memory(sizes, stage.compute, devices=1, videos=2).activations
        assert found[on] == pytest.approx(measured["activations"], rel=0.15)
    assert found["true"] < found["false"] / 2


# The sizes of the runs in docs/results/gpu: Qwen2.5-VL-7B and the report's adapter, LoRA of rank 32. The adapter kept
# less of an interval when they were made.
_FLAGSHIP = StageSizes(
    host=8_292_166_656,
    own=7_995_584,
    learned_host=0,
    learned=163_845_297,
    tensors=692,
    idle=0,
    buffers=116_352,
    way="lora",
    layers=28,
    layer=LayerSize(width=3584, inner=18944, heads=28, pairs=4, head_width=128, normed=False, rank=32),
    rows=152_064,
    anchors=8,
    prompt=0,
    answer=50,
    picture=1196,
    projected=0,
    tower_width=0,
    interval={"bfloat16": 40_000_000},
)


@pytest.mark.parametrize("file", ["7B-training.json", "7B-training-256.json"])
def test_one_h100_took_what_is_said(file: str) -> None:
    """Within a seventh, for one video and several, short prompts and long ones."""
    rows = json.loads((_ROOT / "docs" / "results" / "gpu" / file).read_text())["stage2"]
    measured = [row for row in rows if "peak_mib" in row]
    assert measured
    for row in measured:
        sizes = replace(_FLAGSHIP, prompt=row["tokens"] // row["videos"])
        compute = ComputeSection(precision="bfloat16", gradient_checkpointing=True)
        said = device_memory(sizes, compute, devices=1, videos=row["videos"])
        assert said.total / 2**20 == pytest.approx(row["peak_mib"], rel=1 / 7), row


def test_deepspeed_shares_out_what_learns() -> None:
    """ZeRO-2 gradients and optimiser, ZeRO-3 the weights too; in bfloat16 with weights and moments in float32."""
    sizes = replace(_FLAGSHIP, prompt=1000)
    alone, zero2, zero3 = (
        device_memory(sizes, ComputeSection(precision="bfloat16", deepspeed=name), devices=8, videos=1)
        for name in (None, "zero2", "zero3")
    )
    learned = sizes.learned
    assert alone.gradients == 4 * learned
    assert zero2.gradients == zero3.gradients == 2 * learned // 8
    assert zero2.optimizer == zero3.optimizer == 12 * learned // 8
    whole = 2 * (sizes.host + sizes.own + learned) + sizes.buffers
    assert (zero2.weights, zero3.weights) == (whole, whole // 8)


def test_fsdp_shares_out_everything_that_lasts() -> None:
    sizes = replace(_FLAGSHIP, prompt=1000)
    alone = device_memory(sizes, ComputeSection(precision="bfloat16"), devices=1, videos=1)
    shared, half = (
        device_memory(sizes, ComputeSection(precision="bfloat16", fsdp=how), devices=8, videos=1)
        for how in ("full_shard", "shard_grad_op")
    )
    for name in ("weights", "gradients", "optimizer"):
        assert vars(shared)[name] == vars(half)[name] == vars(alone)[name] // 8
    assert shared.buffers < half.buffers < alone.weights
    assert shared.activations == alone.activations


@pytest.mark.slow
def test_the_flagship_is_planned_without_any_of_its_files() -> None:
    """The numbers of parameters are those of the published weights and of the report's adapter."""
    stages = {stage.kind: stage for stage in plan_memory(resolve_recipe("default").recipe, devices=8)}
    assert list(stages) == ["stage1", "stage2"]
    second = stages["stage2"]
    assert (second.videos, second.tokens) == (1, 16_384)
    plain = second.ways["deepspeed none"]
    trained = _FLAGSHIP.learned
    assert plain.weights == 2 * _FLAGSHIP.host + 4 * (_FLAGSHIP.own + trained) + _FLAGSHIP.buffers
    assert plain.gradients == 4 * trained
    for name in ("recipe", "deepspeed zero3", "checkpointing off", "float32", "trains full"):
        assert second.ways[name].total > 0
    assert second.ways["checkpointing off"].total > second.ways["recipe"].total + 50e9
    assert second.ways["trains full"].optimizer > 5 * second.ways["recipe"].optimizer
    # In stage 1 the language model is not there.
    assert stages["stage1"].ways["recipe"].weights < 3e9
