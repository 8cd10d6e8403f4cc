"""Looking at what is held out while a stage trains: right numbers, the best step kept, and nothing changed by it."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import TrainerCallback

from himmel.adapter import MotionAdapter
from himmel.errors import RecipeError
from himmel.model import HimmelForConditionalGeneration
from himmel.model.prompt import IGNORED
from himmel.training import validation
from himmel.training.alignment import AlignmentModel
from himmel.training.instruct import InstructModel
from himmel.training.losses import retrieval
from himmel.training.plan import Stage, plan_stages
from himmel.training.recipe import AlignmentSection, ComputeSection, OptimizerSection
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_stage
from himmel.training.trainer import PartsTrainer, newest_checkpoint, run_training, training_arguments
from himmel.training.validation import HeldOut, Validation, in_batches, look_at, read_best
from tiny_hosts import Setup, tiny_adapter
from tiny_recipes import tiny_base
from two_processes import make_batch


def test_recall_counts_the_targets_that_are_nearer() -> None:
    """Row 0 finds its own first; two others come before row 1's own; row 2's is tied with another, which is no find."""
    targets = torch.eye(6)[:3]
    embeddings = torch.tensor([[3.0, 1, 0, 0, 0, 0], [2, 1, 3, 0, 0, 0], [1, 0, 1, 0, 0, 0]])
    found = retrieval(embeddings, targets)
    assert found["recall_at_1"] == pytest.approx(1 / 3)
    assert found["recall_at_5"] == 1
    cosines = [3 / math.sqrt(10), 1 / math.sqrt(14), 1 / math.sqrt(2)]
    assert found["positive"] == pytest.approx(sum(cosines) / 3)


def test_the_same_picture_twice_is_no_miss() -> None:
    targets = torch.tensor([[1.0, 0], [2.0, 0], [0, 1.0]])
    assert retrieval(targets, targets)["recall_at_1"] == 1


def test_recall_of_many_agrees_with_sorting() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(60, 4, generator=generator)
    embeddings = targets + torch.randn(60, 4, generator=generator)
    found = retrieval(embeddings, targets)
    hits = {1: 0, 5: 0}
    for row, embedding in enumerate(embeddings):
        order = sorted(range(60), key=lambda j: -float(torch.cosine_similarity(embedding, targets[j], dim=0)))
        for k in hits:
            hits[k] += row in order[:k]
    assert found["recall_at_1"] == pytest.approx(hits[1] / 60)
    assert found["recall_at_5"] == pytest.approx(hits[5] / 60)
    assert 0 < found["recall_at_1"] < found["recall_at_5"] < 1


def test_stage_1_is_summed_up_over_all_batches_and_for_each_branch() -> None:
    """In one batch or in parts, the numbers are those of all intervals together."""
    torch.manual_seed(0)
    section = AlignmentSection(probe_weight=0.0)
    learner = AlignmentModel(MotionAdapter(tiny_adapter(24)), section=section, probes=None).double().eval()
    batch = {name: value for name, value in make_batch().items() if not name.startswith("probe")}
    with torch.no_grad():
        whole = learner(**batch)
        parts = [learner(**{name: value[rows] for name, value in batch.items()}) for rows in (slice(3), slice(3, 8))]
    together = learner.summarise([whole["rows"]])
    assert learner.summarise([part["rows"] for part in parts]) == pytest.approx(together, rel=1e-9)
    # Of eight intervals two are not valid, and one target is too small to have a direction.
    assert together["intervals"] == 5
    assert together["loss"] == pytest.approx(float(whole["loss"]), rel=1e-9)
    assert together["positive"] == pytest.approx(float(whole["parts"]["positive"]), rel=1e-6)
    assert together["recall_at_1"] == pytest.approx(float(whole["parts"]["found"]))
    assert {f"{branch}_recall_at_5" for branch in ("motion", "residual", "context")} <= set(together)


def test_held_out_intervals_without_any_target_are_one_sentence() -> None:
    learner = AlignmentModel(MotionAdapter(tiny_adapter(24)), section=AlignmentSection(), probes=None)
    nothing = {"embedding": torch.ones(4, 24), "targets": torch.zeros(4, 24), "valid": torch.ones(4)}
    with pytest.raises(RecipeError, match="None of the 4 intervals that are held out shows a change"):
        learner.summarise([{**nothing, "log_temperature": torch.zeros(1)}])


def test_stage_2_counts_the_tokens_of_answers(setup: Setup) -> None:
    """Against the loss of each prompt on its own, weighed by the length of its answer."""
    learner = InstructModel(setup.model).eval()
    sample = setup.samples[0]
    prompts = [[("What moves?", "a ball")], [("Where?", "from the left to the right and back again")]]
    both = setup.processor.encode([sample, sample], prompts)
    with torch.no_grad():
        joint = learner.summarise([learner(both)["rows"]])
        rows = [learner(setup.processor.encode([sample], [prompt])) for prompt in prompts]
    counts = [float((setup.processor.encode([sample], [prompt]).labels != IGNORED).sum()) for prompt in prompts]
    expected = sum(float(row["loss"]) * count for row, count in zip(rows, counts, strict=True)) / sum(counts)
    apart = learner.summarise([row["rows"] for row in rows])
    assert joint["answer_tokens"] == apart["answer_tokens"] == sum(counts)
    assert apart["loss"] == pytest.approx(expected, rel=1e-5)
    assert joint["loss"] == pytest.approx(expected, rel=1e-4)
    assert 0 <= joint["right_tokens"] <= 1


class _Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> int:
        return index


class _Drawn(nn.Module):
    """Learns to be 1; says what it was shown, and draws at random as dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 2))

    def forward(self, x: Tensor) -> dict[str, Any]:
        noise = torch.rand(()) if self.training else torch.zeros(())
        loss = (self.weight - 1).square().sum() * (1 + noise) + 0 * x.sum()
        return {"loss": loss, "parts": {}, "counts": {"items": torch.tensor(len(x))}, "rows": {"x": x}}


def _numbers(size: int) -> HeldOut:
    return HeldOut(_Numbers(), (in_batches(range(7), size),), lambda items: {"x": torch.tensor(items)})


def test_every_held_out_item_is_seen_once_and_nothing_is_drawn() -> None:
    model = _Drawn().train()
    before = torch.get_rng_state()
    rows = look_at(_numbers(3), model, lambda batch: batch, workers=0)
    assert [one["x"].tolist() for one in rows] == [[0, 1, 2], [3, 4, 5], [6]]
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_look_at_the_same_kind_of_thing_at_once(monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """With weights spread over them, one that shows pictures would wait for others that read text alone."""
    groups = (((0,), (1,), (2,)), ((3,), (4,)), ((5, 6),))
    held = HeldOut(_Numbers(), groups, lambda items: {"x": torch.tensor(items)})
    monkeypatch.setattr(validation, "num_processes", lambda: processes)
    monkeypatch.setattr(validation, "gather_lists", lambda own: own)
    counted: list[list[int]] = []
    shown: list[list[int]] = []
    for rank in range(processes):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        seen: list[dict[str, Any]] = []
        rows = look_at(held, _Drawn(), lambda batch, seen=seen: seen.append(batch) or batch, workers=0)
        counted += [one["x"].tolist() for one in rows]
        shown.append([int(batch["x"][0] > 2) + int(batch["x"][0] > 4) for batch in seen])
    assert sorted(counted) == [[0], [1], [2], [3], [4], [5, 6]]
    assert all(kinds == shown[0] for kinds in shown)


class _Ends(TrainerCallback):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self._step:
            raise KeyboardInterrupt


def _trainer(folder: Path, losses: list[float] | None, *, ends: int | None = None) -> PartsTrainer:
    """Trains for six steps and looks every two; what it finds there is given."""
    torch.manual_seed(0)
    given = iter(losses or [])
    optimizer = OptimizerSection(steps=6, batch_size=1, save_every=2, log_every=1, warmup_steps=0)
    options: dict[str, Any] = {}
    if losses is not None:
        options = {"eval_strategy": "steps", "eval_steps": 2}
        options |= {"metric_for_best_model": "eval_loss", "greater_is_better": False}
    return PartsTrainer(
        model=_Drawn(),
        args=training_arguments(optimizer, ComputeSection(), folder, seed=1, **options),
        train_dataset=[{"x": torch.zeros(1)} for _ in range(6)],
        rate_of=lambda _: 0.1,
        validation=None if losses is None else Validation(_numbers(2), lambda _: {"loss": next(given)}),
        callbacks=[] if ends is None else [_Ends(ends)],
    )


def test_looking_changes_nothing_of_the_training(tmp_path: Path) -> None:
    histories, weights = [], []
    for name, given in (("blind", None), ("looking", [4.0, 3.0, 2.0, 1.0])):
        trainer = _trainer(tmp_path / name, given)
        histories.append(run_training(trainer, folder=tmp_path / name, resume=False))
        weights.append(trainer.learner.weight)
    assert torch.equal(*weights)
    losses = [[line["loss"] for line in history if "loss" in line] for history in histories]
    assert losses[0] == losses[1]
    looks = [(line["step"], line["eval_loss"]) for line in histories[1] if "eval_loss" in line]
    # The first one is before the first step.
    assert looks == [(0, 4.0), (2, 3.0), (4, 2.0), (6, 1.0)]


def test_the_weights_of_the_best_step_are_kept(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, [9.0, 3.0, 1.0, 2.0])
    run_training(trainer, folder=tmp_path, resume=False)
    best = read_best(tmp_path / "best.safetensors")
    assert best is not None
    assert (best.step, best.value) == (4, 1.0)
    kept = load_file(tmp_path / "best.safetensors")["weight"]
    fourth = load_file(tmp_path / "checkpoint-4" / "trained_parts.safetensors")["weight"]
    assert torch.equal(kept, fourth)
    assert not torch.equal(kept, trainer.learner.weight)


def test_a_training_that_goes_on_remembers_its_best_step(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_training(_trainer(tmp_path, [9.0, 1.0, 2.0], ends=5), folder=tmp_path, resume=True)
    history = run_training(_trainer(tmp_path, [1.5]), folder=tmp_path, resume=True)
    best = read_best(tmp_path / "best.safetensors")
    assert best is not None
    assert (best.step, best.value) == (2, 1.0)
    assert [line["step"] for line in history if "eval_loss" in line] == [0, 2, 4, 6]


def test_a_best_step_after_the_checkpoint_is_not_forgotten(tmp_path: Path) -> None:
    """Killed between the look at step 4 and its checkpoint: the weights of step 4 are the best there are."""
    with pytest.raises(KeyboardInterrupt):
        run_training(_trainer(tmp_path, [9.0, 3.0, 1.0], ends=5), folder=tmp_path, resume=True)
    (tmp_path / "checkpoint-4" / "whole").unlink()
    run_training(_trainer(tmp_path, [1.2, 2.0]), folder=tmp_path, resume=True)
    best = read_best(tmp_path / "best.safetensors")
    assert best is not None
    assert (best.step, best.value) == (4, 1.0)


def test_from_scratch_forgets_the_best_step(tmp_path: Path) -> None:
    run_training(_trainer(tmp_path, [9.0, 3.0, 1.0, 2.0]), folder=tmp_path, resume=False)
    run_training(_trainer(tmp_path, [9.0, 8.0, 7.0, 6.0]), folder=tmp_path, resume=False)
    best = read_best(tmp_path / "best.safetensors")
    assert best is not None
    assert best.step == 6


def _killed_in_the_middle(path: str | Path, **_: Any) -> None:
    """In place of `shutil.rmtree`: some of a folder is gone, and then the process."""
    (Path(path) / "trained_parts.safetensors").unlink()
    raise KeyboardInterrupt


def test_a_training_that_is_killed_while_it_removes_a_checkpoint_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best step is the second; at step 6 there are three checkpoints, and one of them has to go."""
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", _killed_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            run_training(_trainer(tmp_path, [9.0, 1.0, 2.0, 3.0]), folder=tmp_path, resume=True)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-6"
    trainer = _trainer(tmp_path, [])
    run_training(trainer, folder=tmp_path, resume=True)
    unbroken = _trainer(tmp_path / "unbroken", [9.0, 1.0, 2.0, 3.0])
    run_training(unbroken, folder=tmp_path / "unbroken", resume=True)
    assert torch.equal(trainer.learner.weight, unbroken.learner.weight)
    kept = sorted(path.name for path in (tmp_path / "unbroken").glob("checkpoint-*"))
    assert kept == ["checkpoint-4", "checkpoint-6"]


def test_nothing_of_what_is_forgotten_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it begins from scratch, a training has no checkpoint to go on from."""
    run_training(_trainer(tmp_path, None), folder=tmp_path, resume=True)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", _killed_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            run_training(_trainer(tmp_path, None), folder=tmp_path, resume=False)
    assert newest_checkpoint(tmp_path) is None
    trainer = _trainer(tmp_path, None)
    run_training(trainer, folder=tmp_path, resume=True)
    assert trainer.state.global_step == 6


def _stage(base: str, number: int, **changes: str) -> Stage:
    few = {
        "stages": f"[{number}]",
        "projector": "null",
        f"stage{number}.optimizer": "{steps: 4, batch_size: 2, save_every: 2, log_every: 1, validate_every: 2}",
        "data": "{clips: 4}",
        **changes,
    }
    return plan_stages(resolve_recipe("default", base=base, overrides=few).recipe)[0]


def _log(stage: Stage) -> list[dict[str, float]]:
    record = json.loads((stage.folder / "training" / f"{stage.kind}.json").read_text())
    return list(record["log"])


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("number", [1, 2])
def test_a_stage_looks_at_clips_that_it_never_learns_from(nano_folder: str, tmp_path: Path, number: int) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    plain, looking = _stage(base, number), _stage(base, number, data="{clips: 4, validation: {clips: 6}}")
    # What is held out of rendered clips is taken from no training, so the stage is the same one.
    assert plain.key == looking.key
    run_stage(plain)
    looking = replace(looking, output=tmp_path / "looking")
    run_stage(looking)
    wanted = "eval_recall_at_1" if number == 1 else "eval_right_tokens"
    looks = [line for line in _log(looking) if "eval_loss" in line]
    assert [line["step"] for line in looks] == [0, 2, 4]
    assert all(0 <= line[wanted] <= 1 for line in looks)
    for one, other in zip(_losses(plain), _losses(looking), strict=True):
        assert one == other
    for file in plain.folder.glob("*.safetensors"):
        assert (looking.folder / file.name).read_bytes() == file.read_bytes()
    record = json.loads((looking.folder / "training" / f"{looking.kind}.json").read_text())
    best = looking.folder / "best"
    assert record["best"]["step"] in (2, 4)
    assert json.loads((best / "training" / f"{looking.kind}.json").read_text()) == record
    if record["best"]["step"] == 4:
        assert (best / "adapter.safetensors").read_bytes() == (looking.folder / "adapter.safetensors").read_bytes()
    HimmelForConditionalGeneration.from_pretrained(best)
    assert not (plain.folder / "best").exists()


def _losses(stage: Stage) -> list[float]:
    return [line["loss"] for line in _log(stage) if "loss" in line]


@pytest.mark.usefixtures("unrendered")
def test_stage_1s_best_step_is_a_checkpoint_of_that_step(
    nano_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a training of two steps ends with is what one of four steps keeps, if its second step was the best."""
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    marks = iter([0.1, 0.9, 0.2])
    summarise: Callable[..., dict[str, float]] = AlignmentModel.summarise

    def given(learner: AlignmentModel, rows: Any) -> dict[str, float]:
        return {**summarise(learner, rows), "recall_at_1": next(marks)}

    monkeypatch.setattr(AlignmentModel, "summarise", given)
    held = "{clips: 4, validation: {clips: 6}}"
    optimizer = "{steps: 4, batch_size: 2, save_every: 2, log_every: 1, validate_every: 2, schedule: constant}"
    long = _stage(base, 1, **{"data": held, "stage1.optimizer": optimizer})
    run_stage(long)
    short = _stage(base, 1, **{"stage1.optimizer": optimizer.replace("steps: 4", "steps: 2")})
    run_stage(short)
    kept, ended = (load_file(folder / "adapter.safetensors") for folder in (long.folder / "best", short.folder))
    assert kept.keys() == ended.keys()
    for name, value in ended.items():
        assert torch.equal(kept[name], value), name
