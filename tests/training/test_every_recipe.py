"""Every recipe on every base that it is for: two steps of each of its stages, with tiny hosts and adapters."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from himmel.hosts.nano.host import NanoHost
from himmel.model import HimmelConfig
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import recipe_names, resolve_recipe
from himmel.training.run import run_stage
from tiny_hosts import tiny_host
from tiny_recipes import tiny_base

__all__ = ["tiny_host"]


@pytest.fixture(scope="module")
def tiny_base_of(tiny_host: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A shipped base made tiny."""
    folder = tmp_path_factory.mktemp("bases")

    def make(base: str) -> str:
        sizes = {} if base == "nano" else {"max_anchor_tokens": 12, "adapter": {"context_size": 16}}
        return tiny_base(folder, of=base, host=tiny_host(base), **sizes)

    return make


@pytest.fixture(scope="module")
def own_clips(
    tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path], pan: Callable[..., Any]
) -> dict[str, str]:
    """What a recipe about files has to be told: where they are, and that two steps on a tiny host are enough."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(2):
        write_clip(folder / f"{number}.mp4", pan(30, (96, 64), seed=number), options={"g": "5"})
    rows = [{"video": f"{number}.mp4", "question": "Which clip?", "answer": str(number)} for number in range(2)]
    for name in ("questions.json", "q.json"):
        (folder / name).write_text(json.dumps(rows))
    few = {f"{stage}.optimizer.{key}": "2" for stage in ("stage1", "stage2") for key in ("steps", "batch_size")}
    workers = {f"{stage}.compute.workers": "0" for stage in ("stage1", "stage2")}
    # The shipped checkpoint fits the real host alone.
    return {"data.folder": str(folder), "begin_with": "null", **workers, **few}


@pytest.fixture
def loud_tower(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random tower of nano's depth lets next to nothing through; its features are scaled to what a trained one gives.

    Stage 1 leaves out targets that are next to nothing.
    """

    @torch.no_grad()
    def scaled(host: NanoHost, network: PreTrainedModel, images: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if "tower_features" in images:
            return dict(images)
        features = cast(Any, network).model.tower(host.join_images([images])["pixel_values"].to(network.dtype)).float()
        return {"tower_features": (features / features.std()).half()}

    monkeypatch.setattr(NanoHost, "keep_features", scaled)


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


def _cases() -> list[Any]:
    """Each recipe on nano and on the host that it is written for."""
    return [
        pytest.param(name, base, marks=pytest.mark.slow if _is_slow(name, base) else (), id=f"{name}-{base}")
        for name in recipe_names()
        for base in ("nano", resolve_recipe(name).recipe.base)
    ]


def _is_slow(name: str, base: str) -> bool:
    """ResNet-18 has its full width, and nano's tower its full size; otherwise one host shows what a recipe says."""
    return base != "nano" or name.endswith(("/resnet18", "shared-vit"))


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered", "loud_tower")
@pytest.mark.parametrize(("name", "base"), _cases())
def test_two_steps_of_every_recipe(
    name: str, base: str, tiny_base_of: Callable[[str], str], own_clips: dict[str, str]
) -> None:
    changes = own_clips if name.startswith("corpus/") else {}
    recipe = resolve_recipe(name, base=tiny_base_of(base), overrides=changes).recipe
    if recipe.needs:
        pytest.skip(f"needs {', '.join(recipe.needs)}")
    assert not recipe.lacks_to_train
    for stage in plan_stages(recipe):
        _check(stage)
