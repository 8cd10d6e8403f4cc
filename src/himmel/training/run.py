"""Running a recipe: from its settings to a checkpoint folder with its log."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import nn
from transformers import set_seed

from himmel._files import atomic_path
from himmel.errors import RecipeError
from himmel.hosts import load_host
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
from himmel.nano.clips import VALUE_COLUMNS
from himmel.training.alignment import AlignmentModel
from himmel.training.batches import AlignmentCollator, DrawnClips, InstructCollator
from himmel.training.probes import MotionProbes, caption_vocabulary
from himmel.training.recipe import Recipe, load_recipe
from himmel.training.store import ClipStore
from himmel.training.trainer import PartsTrainer, run_training, training_arguments

_PACKAGES = ("himmel", "torch", "transformers", "peft", "accelerate", "av", "numpy")


class InstructModel(nn.Module):
    """Stage 2 (design 3.9): the language-modelling loss on the answers, in the form that the trainer takes."""

    def __init__(self, model: HimmelForConditionalGeneration) -> None:
        super().__init__()
        self.model = model

    def forward(self, **batch: Any) -> dict[str, Any]:
        """`loss`, and no further parts; `batch` is what `HimmelProcessor.encode` makes."""
        return {"loss": self.model(**batch).loss, "parts": {}}


def run_recipe(path: str | Path, *, overrides: dict[str, str] | None = None, resume: bool = True) -> Path:
    """Run a recipe to its end and write its checkpoint.

    Args:
        path: recipe file.
        overrides: dotted keys to YAML values, e.g. {"optimizer.steps": "20"}.
        resume: go on from the newest saved state in the recipe's output folder, where one stands.

    Returns:
        The checkpoint folder: what `save_pretrained` writes, and `training/NAME.json` with the resolved recipe, the
        log and the versions of this run and of those that it started from.

    Raises:
        RecipeError: the recipe is not usable.
        HimmelError: host, clips or the initial checkpoint cannot be had.
    """
    recipe = load_recipe(path, overrides=overrides)
    set_seed(recipe.seed)
    model = _initial_model(recipe)
    store = ClipStore(model.config, split="train")
    seeds = range(recipe.data.first_seed, recipe.data.first_seed + recipe.data.clips)
    store.prepare(seeds, workers=os.cpu_count() or 1)
    output = Path(recipe.output)
    history = _train(recipe, model, store, seeds, output / "state", resume=resume)
    model.save_pretrained(output)
    _write_record(recipe, history, output)
    return output


def _initial_model(recipe: Recipe) -> HimmelForConditionalGeneration:
    if recipe.init is not None:
        if not Path(recipe.init).is_dir():
            raise RecipeError(
                f"Recipe {recipe.name!r} starts from {recipe.init!r}, which is missing; run the recipe that writes it."
            )
        return HimmelForConditionalGeneration.from_pretrained(recipe.init, host=recipe.host)
    settings = recipe.model
    options: dict[str, Any] = {
        "num_anchors": settings.num_anchors,
        "steps_per_interval": settings.steps_per_interval,
        "lora_rank": settings.lora_rank,
        "lora_alpha": settings.lora_alpha,
    }
    make = HimmelConfig.nano if settings.adapter == "nano" else HimmelConfig.paper
    config = make(host=recipe.host, host_hidden_size=load_host(recipe.host).hidden_size, **options)
    return HimmelForConditionalGeneration.from_config(config)


def _train(
    recipe: Recipe,
    model: HimmelForConditionalGeneration,
    store: ClipStore,
    seeds: range,
    folder: Path,
    *,
    resume: bool,
) -> list[dict[str, float]]:
    optimizer = recipe.optimizer
    length = optimizer.steps * optimizer.batch_size * optimizer.gradient_accumulation
    items = DrawnClips(seeds, length=length, seed=recipe.seed)
    arguments = training_arguments(recipe, folder)
    common: dict[str, Any] = {"args": arguments, "train_dataset": items}
    if recipe.stage == 1:
        learner = _alignment_model(recipe, model)
        trainer = PartsTrainer(
            model=learner,
            data_collator=AlignmentCollator(store, model),
            rate_of=lambda _: optimizer.adapter_lr,
            **common,
        )
        history = run_training(trainer, folder=folder, resume=resume)
        learner.release()
        return history
    model.train_only(["host_projector"] if recipe.stage == "projector" else ["adapter", "lora", *recipe.also_train])
    # Stage 1's head is not read any more.
    model.adapter.alignment_head.requires_grad_(False)
    collator = InstructCollator(
        store,
        HimmelProcessor(model.config, model.host),
        questions_per_clip=recipe.data.questions_per_clip,
        seed=recipe.seed,
        still_only=recipe.stage == "projector",
        blind_share=recipe.data.blind_share,
    )
    trainer = PartsTrainer(
        model=InstructModel(model), data_collator=collator, rate_of=lambda name: _rate(recipe, name), **common
    )
    return run_training(trainer, folder=folder, resume=resume)


def _alignment_model(recipe: Recipe, model: HimmelForConditionalGeneration) -> AlignmentModel:
    model.train_only(["adapter"])
    probes = None
    if recipe.alignment.probe_weight > 0:
        embeddings = cast(nn.Embedding, model.network.get_input_embeddings()).weight
        vocabulary = sorted(caption_vocabulary(model.host))
        probes = MotionProbes(embeddings, num_values=len(VALUE_COLUMNS), vocabulary=vocabulary)
    return AlignmentModel(model.adapter, section=recipe.alignment, probes=probes)


def _rate(recipe: Recipe, name: str) -> float:
    if ".lora_" in name:
        return recipe.optimizer.lora_lr
    return recipe.optimizer.adapter_lr if name.startswith("model.adapter.") else recipe.optimizer.projector_lr


def _write_record(recipe: Recipe, history: list[dict[str, float]], output: Path) -> None:
    folder = output / "training"
    folder.mkdir(exist_ok=True)
    if recipe.init is not None:
        for earlier in (Path(recipe.init) / "training").glob("*.json"):
            (folder / earlier.name).write_bytes(earlier.read_bytes())
    record = {
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        "versions": {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "threads": torch.get_num_threads(),
        "log": history,
    }
    with atomic_path(folder / f"{recipe.name.replace('/', '-')}.json") as file:
        file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with atomic_path(output / "recipe.yaml") as file:
        file.write_text(yaml.safe_dump(record["recipe"], sort_keys=False), encoding="utf-8")
