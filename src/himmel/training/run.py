"""Running a recipe: from its settings to a checkpoint folder with its log."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout
from torch import nn
from transformers import TrainingArguments, set_seed

from himmel.errors import RecipeError
from himmel.hosts import load_host
from himmel.methods.choice import build
from himmel.model import HimmelForConditionalGeneration
from himmel.nano.clips import VALUE_COLUMNS
from himmel.training.alignment import AlignmentModel
from himmel.training.batches import AlignmentCollator, DrawnClips, InstructCollator, check_shares, check_ways
from himmel.training.beginning import initial_model, left_out
from himmel.training.corpus.batches import CorpusAlignment
from himmel.training.corpus.stage import LIST, check_files, check_stage, corpus_data
from himmel.training.corpus.targets import KeptTargets
from himmel.training.gather import is_first, wait_for_all
from himmel.training.instruct import InstructModel
from himmel.training.plan import RECORD, Stage, plan_stages
from himmel.training.probes import MotionProbes, caption_vocabulary
from himmel.training.recipe import OptimizerSection, ProjectorSection, Recipe, Stage1Section, Stage2Section
from himmel.training.records import save_best, write_record
from himmel.training.resolve import base_names, resolve_recipe
from himmel.training.settings import make_settings
from himmel.training.sharding import (
    check_sharding,
    environment_restored,
    sharding_options,
    straighten,
    whole_parameters,
)
from himmel.training.stills import still_trainer
from himmel.training.store import ClipStore
from himmel.training.targets import TargetStore
from himmel.training.trainer import PartsTrainer, learn_exactly, run_training, training_arguments
from himmel.training.validation import BEST, HeldOut, Validation, in_batches, looks
from himmel.training.watching import check_trackers


def run_recipe(
    recipe: str | Path,
    *,
    base: str | None = None,
    overrides: Mapping[str, str] | None = None,
    resume: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Run those stages of a recipe that are not there yet.

    Args:
        recipe: a file or a shipped recipe's name.
        base: name or file of a base in place of the recipe's own.
        overrides: dotted keys to YAML values, e.g. {"stage1.optimizer.steps": "20"}.
        resume: take stages that are there, also those of another recipe, and continue from the newest saved state
            of the one that was interrupted; else start all of them again.
        tell: called with a sentence about each stage, in the first of several processes.

    Returns:
        The checkpoint folder: what `save_pretrained` writes, and `training/STAGE.json` with the settings, the log and
        the versions of each stage that led to it.

    Raises:
        RecipeError: the recipe is not usable, or needs what this version doesn't have, or another training is at work
            on one of its stages.
        UsageError: its method has no such option, or a value is out of range.
        HimmelError: host or clips are missing and cannot be fetched.
    """
    resolved = resolve_recipe(recipe, base=base, overrides=overrides).recipe
    check_runnable(resolved)
    check_host(resolved, called=str(recipe))
    stages = plan_stages(resolved)
    for stage in stages:
        if stage.section is not None and not (resume and stage.done):
            _check_launch(stage)
    say = tell if is_first() else lambda _: None
    for stage in () if resume else stages:
        with _alone_in(stage.folder):
            _forget(stage)
    if not resume or not all(stage.done for stage in stages):
        for sentence in left_out(stages[-1]):
            say(sentence)
    for stage in stages:
        if resume and stage.done:
            say(f"{stage.kind} is there: {stage.folder}")
            continue
        say(f"{stage.kind} goes to {stage.folder}")
        with _alone_in(stage.folder):
            run_stage(stage, resume=resume)
    return stages[-1].folder


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a stage's folder, which several recipes may share; one process of a run does it."""
    if not is_first():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".training.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RecipeError(
            f"Another training is running in {str(folder)!r}; run this one again when that has ended, and it will "
            "reuse the result."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _forget(stage: Stage) -> None:
    """A stage that begins from scratch is no whole one until it has ended; its old states go when it begins."""
    if not is_first():
        return
    for file in (RECORD, LIST, f"training/{stage.kind}.json"):
        (stage.folder / file).unlink(missing_ok=True)
    if (stage.folder / BEST).exists():
        shutil.rmtree(stage.folder / BEST)


def check_runnable(recipe: Recipe) -> None:
    """Refuse what cannot be run here, or could not be measured afterwards.

    Raises:
        RecipeError: the recipe needs something that this version doesn't have, or what its data don't have, or two of
            its settings contradict each other.
        HimmelError: annotations are missing.
        UsageError: its method has no such option, or a value is out of range.
    """
    build(recipe.eval.method, **recipe.eval.options)
    adapter = make_settings(recipe.model, host=recipe.host).adapter
    if recipe.stages and adapter.encoder == "siglip" and adapter.siglip is None and adapter.siglip_weights is None:
        raise RecipeError(
            f"Recipe {recipe.name!r} names no weights for its SigLIP encoder, which would start as noise; add "
            "`--set model.adapter.siglip_weights=google/siglip-base-patch16-224` (or a folder), or "
            "state sizes of your own under model.adapter.siglip to train one from nothing."
        )
    if recipe.lacks_to_train:
        raise RecipeError(
            f"Recipe {recipe.name!r} on {recipe.base!r} needs {', '.join(recipe.lacks_to_train)}, which this version "
            "does not have yet; `himmel recipe list` shows what runs."
        )
    stages = plan_stages(recipe)
    for stage in stages:
        check_stage(stage)
        if isinstance(stage.section, Stage2Section):
            check_ways(stage.section)
    if any(stage.section is not None and not stage.done for stage in stages):
        check_files(recipe.data)


def check_host(recipe: Recipe, *, called: str | None = None) -> None:
    """Refuse a host of another kind than the recipe's base was made for, and name the base that is made for it.

    Args:
        recipe: resolved.
        called: the file or name that it was asked for by; None: its name.

    Raises:
        RecipeError: the recipe trains a part that the host doesn't have, or reads a feature map that it doesn't give.
        HostError: there is no such host.
    """
    host = load_host(recipe.host)
    _check_attention(recipe)
    trained = {"host_projector"} if recipe.projector is not None else set()
    lacking = sorted((trained | set(recipe.stage2.also_train)) - set(host.part_names))
    if not lacking:
        return
    base = next((name for name in base_names() if host.name.startswith(name)), None)
    command = ["himmel", "train", called or recipe.name, "--base", str(base), "--set", f"host={recipe.host}"]
    command += ["--set", f"data.source={recipe.data.source}"]
    raise RecipeError(
        f"Recipe {recipe.name!r} on {recipe.base!r} trains the part {lacking[0]!r}, which the host {recipe.host!r} of "
        f"the kind {host.name!r} doesn't have; run `{shlex.join(command)}`."
    )


def _check_attention(recipe: Recipe) -> None:
    """Refuse packed questions where attention takes no mask that would part them."""
    for stage in plan_stages(recipe):
        section = stage.section
        if not isinstance(section, Stage2Section) or section.questions_per_clip == 1:
            continue
        if stage.compute.attn_implementation == "flash_attention_2":
            raise RecipeError(
                f"{stage.kind}.questions_per_clip = {section.questions_per_clip} packs questions behind one clip, and "
                "attn_implementation = 'flash_attention_2' cannot keep them apart; set questions_per_clip to 1, or "
                "attn_implementation to sdpa."
            )


def _check_launch(stage: Stage) -> None:
    """Refuse now what would end a stage at its start, hours after the first one's.

    Raises:
        RecipeError: the batch can't be shared out, parameters can't be shared as the recipe says, or where the log goes
            to is not installed.
    """
    stage.optimizer.share_of(int(os.environ.get("WORLD_SIZE", "1")))
    check_sharding(stage.compute)
    check_trackers(stage.compute.report_to)


def run_stage(stage: Stage, *, resume: bool = True) -> None:
    """Do one stage, whose predecessor is there, and write its checkpoint.

    Raises:
        RecipeError: batch and devices don't fit, or parameters cannot be shared as the recipe says.
        HimmelError: host or clips are missing and cannot be fetched.
    """
    set_seed(stage.seed)
    stage.folder.mkdir(parents=True, exist_ok=True)
    if stage.section is None and not is_first():
        return
    model = initial_model(stage)
    if stage.section is None:
        model.save_pretrained(stage.folder)
        write_record(stage, [])
        return
    folder = stage.folder / "state"
    with environment_restored():
        options = sharding_options(stage.compute, model.network) | looks(stage)
        arguments = training_arguments(stage.optimizer, stage.compute, folder, seed=stage.seed, **options)
        trainer = _make_trainer(stage, model, arguments)
        if stage.compute.deepspeed is not None or stage.compute.fsdp is not None:
            straighten(trainer.learner)
        history = run_training(trainer, folder=folder, resume=resume)
    learner = trainer.learner
    with whole_parameters(learner, stage.compute):
        if arguments.process_index == 0:
            if isinstance(learner, (AlignmentModel, CorpusAlignment)):
                learner.release()
            model.save_pretrained(stage.folder)
            best = save_best(stage, model, learner)
            write_record(stage, history, best=best)
    # The next stage begins with what the first process has written.
    wait_for_all()


def _make_trainer(stage: Stage, model: HimmelForConditionalGeneration, arguments: TrainingArguments) -> PartsTrainer:
    if isinstance(stage.section, ProjectorSection):
        return still_trainer(stage.section, model, arguments)
    assert stage.data is not None
    if stage.data.source == "files":
        return _trainer_on_files(stage, model, arguments)
    if isinstance(stage.section, Stage2Section):
        check_shares(stage.section, model)
    store = ClipStore(model.config, split="train")
    seeds = range(stage.data.first_seed, stage.data.first_seed + stage.data.clips)
    held = seeds[:0] if stage.data.validation is None else range(seeds.stop, seeds.stop + stage.data.validation.clips)
    with arguments.main_process_first(desc="rendering clips"):
        store.prepare([*seeds, *held], workers=os.cpu_count() or 1)
    items = DrawnClips(seeds, length=stage.optimizer.steps * stage.optimizer.batch_size, seed=stage.seed)
    options: dict[str, Any] = {"args": arguments, "train_dataset": items}

    def look(collate: Any, learner: AlignmentModel | InstructModel) -> Validation | None:
        batches = in_batches(range(len(held)), arguments.per_device_train_batch_size)
        data = HeldOut(DrawnClips(held, length=len(held), seed=stage.seed), (batches,), collate)
        return Validation(data, learner.summarise) if held else None

    if isinstance(stage.section, Stage1Section):
        nn.Module.to(model.network, arguments.device)
        targets = TargetStore(store, model)
        targets.fill([*seeds, *held], model)
        learner = alignment_model(stage.section, model)
        if model.config.adapter.encoder != "shared_vit":
            # The host has said its part; the device is the adapter's.
            nn.Module.to(model.network, "cpu")
        rate = stage.optimizer.adapter_lr
        collator = AlignmentCollator(store, targets, model.host)
        options |= {"data_collator": collator, "validation": look(collator, learner)}
        return PartsTrainer(model=learner, rate_of=lambda _: rate, **options)
    section = stage.section
    assert isinstance(section, Stage2Section)
    instructed = instruct_model(stage, model)
    # What is held out is asked as users ask: with its pictures, and about everything.
    as_asked = section.model_copy(
        update={"asked_shares": {}, "blind_share": 0.0, "still_share": 0.0, "label_share": 0.0}
    )
    return PartsTrainer(
        model=instructed,
        data_collator=InstructCollator.of(section, store, model),
        validation=look(InstructCollator.of(as_asked, store, model), instructed),
        rate_of=lambda name: _rate(section.optimizer, name),
        **options,
    )


def _trainer_on_files(
    stage: Stage, model: HimmelForConditionalGeneration, arguments: TrainingArguments
) -> PartsTrainer:
    data = corpus_data(stage, model, batch_size=arguments.per_device_train_batch_size)
    options: dict[str, Any] = {
        "args": arguments,
        "train_dataset": data.items,
        "data_collator": data.collate,
        "callbacks": data.callbacks,
    }

    def look(learner: CorpusAlignment | InstructModel) -> Validation | None:
        return None if data.held_out is None else Validation(data.held_out, learner.summarise)

    if isinstance(stage.section, Stage1Section):
        if data.shows_host or model.config.adapter.encoder == "shared_vit":
            nn.Module.to(model.network, arguments.device)
        rate = stage.optimizer.adapter_lr
        aligned = alignment_model(stage.section, model)
        learner = CorpusAlignment(aligned, model, kept=KeptTargets.of(model))
        return PartsTrainer(model=learner, validation=look(learner), rate_of=lambda _: rate, **options)
    instructed = instruct_model(stage, model)
    rates = stage.optimizer
    return PartsTrainer(
        model=instructed, validation=look(instructed), rate_of=lambda name: _rate(rates, name), **options
    )


def alignment_model(section: Stage1Section, model: HimmelForConditionalGeneration) -> AlignmentModel:
    """What stage 1 trains of a model, which is changed by it."""
    model.train_only(["adapter"])
    probes = None
    if section.alignment.probe_weight > 0:
        embeddings = cast(nn.Embedding, model.network.get_input_embeddings()).weight
        vocabulary = sorted(caption_vocabulary(model.host))
        probes = MotionProbes(embeddings, num_values=len(VALUE_COLUMNS), vocabulary=vocabulary)
    return AlignmentModel(model.adapter, section=section.alignment, probes=probes, show=model.adapter_inputs)


def instruct_model(stage: Stage, model: HimmelForConditionalGeneration) -> InstructModel:
    """What stage 2 trains of a model, which is changed by it."""
    section = stage.section
    assert isinstance(section, Stage2Section)
    learn_exactly(model, ["adapter", "language_model" if section.trains == "full" else "lora", *section.also_train])
    # Stage 1's head is not read any more.
    model.adapter.alignment_head.requires_grad_(False)
    if stage.compute.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    return InstructModel(model)


def _rate(optimizer: OptimizerSection, name: str) -> float:
    if ".lora_" in name:
        return optimizer.lora_lr
    if name.startswith("model.adapter."):
        return optimizer.adapter_lr
    return optimizer.projector_lr if ".projector." in name else optimizer.language_model_lr
