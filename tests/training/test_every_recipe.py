"""Every recipe on every base that it is for: two steps of each of its stages, with tiny hosts and adapters."""

import json
import math
from pathlib import Path

import pytest
from safetensors.torch import load_file

from himmel.model import HimmelConfig
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import recipe_names, resolve_recipe
from himmel.training.run import run_stage
from tiny_hosts import nano_folder, qwen_folder
from tiny_recipes import tiny_base

__all__ = ["nano_folder", "qwen_folder"]


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
