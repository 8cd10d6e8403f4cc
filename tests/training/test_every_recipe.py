"""Every recipe on every base that it is for: two steps of each of its stages, with tiny hosts and adapters."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from himmel.model import HimmelConfig
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import recipe_names, resolve_recipe
from himmel.training.run import run_stage
from tiny_hosts import nano_folder, qwen_folder, tiny_adapter

__all__ = ["nano_folder", "qwen_folder"]

_FEW = {"steps": 2, "batch_size": 1, "warmup_steps": 0, "gradient_accumulation": 1}
_STAGE = {"optimizer": _FEW, "compute": {"deepspeed": None}}
# Sizes alone: what a recipe is about, it says itself.
_SIZES = (
    "hidden_size",
    "map_size",
    "branch",
    "conv_channels",
    "conv_grid",
    "context_width",
    "ssm_layers",
    "ssm_expand",
)
_SIZES += ("ssm_state_size", "ssm_head_dim", "ssm_chunk_size", "attention_heads", "alignment_hidden_size")


def tiny_base(folder: Path, *, of: str, host: str, **model: Any) -> str:
    """A shipped base with a tiny host, a tiny adapter, two clips and two steps for each stage."""
    adapter = tiny_adapter(32)
    sizes = {
        name: value for name, value in json.loads(adapter.to_json_string(use_diff=False)).items() if name in _SIZES
    }
    siglip = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    content = {
        "inherits": f"base/{of}",
        "host": host,
        "model": {"steps_per_interval": 2, **model, "adapter": {**sizes, "siglip": siglip, **model.get("adapter", {})}},
        "data": {"source": "rendered", "clips": 2},
        "stage1": _STAGE,
        "stage2": {**_STAGE, "full_compute": _STAGE["compute"]},
        "output": str(folder / "runs"),
    }
    if of == "nano":
        content["projector"] = _STAGE
    path = folder / f"tiny_{of}.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture(scope="module")
def bases(nano_folder: str, qwen_folder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("bases")
    return {
        "nano": tiny_base(folder, of="nano", host=nano_folder),
        "qwen2_5_vl": tiny_base(
            folder, of="qwen2_5_vl", host=qwen_folder, max_anchor_tokens=4, adapter={"context_size": 16}
        ),
    }


# ResNet-18 has its full width, and nano's tower its full size.
_SLOW = {f"tables/14-encoders/{name}": pytest.mark.slow for name in ("resnet18", "shared-vit")}
_checked: set[Path] = set()


def _check(stage: Stage) -> None:
    """Run a stage, unless another recipe has, and look at what it trained."""
    if stage.folder in _checked:
        return
    _checked.add(stage.folder)
    run_stage(stage)
    assert stage.done
    config = HimmelConfig.load(stage.folder)
    assert (config.num_anchors, config.placement, config.adapter.streams) == (
        stage.config.num_anchors,
        stage.config.placement,
        stage.config.adapter.streams,
    )
    if stage.kind == "start":
        return
    log = json.loads((stage.folder / "training" / f"{stage.kind}.json").read_text())["log"]
    assert log[-1]["step"] == 2
    assert math.isfinite(log[-1]["train_loss"])
    assert log[-1]["train_loss"] > 0
    lora = stage.folder / "lora" / "adapter_model.safetensors"
    if config.own_language_model:
        assert (stage.folder / "host" / "model.safetensors").is_file()
        assert not lora.exists()
    elif stage.kind == "stage2":
        assert any(bool(value.any()) for name, value in load_file(lora).items() if ".lora_B." in name)


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("base", ["nano", "qwen2_5_vl"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=_SLOW.get(name, ())) for name in recipe_names()])
def test_two_steps_of_every_recipe(name: str, base: str, bases: dict[str, str]) -> None:
    recipe = resolve_recipe(name, base=bases[base]).recipe
    if recipe.needs:
        pytest.skip(f"needs {', '.join(recipe.needs)}")
    assert not recipe.lacks_to_train
    for stage in plan_stages(recipe):
        _check(stage)
