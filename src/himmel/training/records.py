"""What a stage leaves beside its checkpoint: its record, and the checkpoint of its best step."""

import json
import shutil
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from himmel._files import atomic_path
from himmel._versions import versions
from himmel.model import HimmelForConditionalGeneration
from himmel.training.alignment import AlignmentModel
from himmel.training.corpus.batches import CorpusAlignment
from himmel.training.plan import RECORD, Stage
from himmel.training.trainer import trained_tensors
from himmel.training.validation import BEST, BEST_PARTS, BestStep, load_best, read_best


def save_best(stage: Stage, model: HimmelForConditionalGeneration, learner: nn.Module) -> BestStep | None:
    """Write the checkpoint of the best step beside that of the last one, whose weights are no longer needed."""
    kept = stage.folder / "state" / BEST_PARTS
    best = read_best(kept)
    if best is None:
        return None
    aligned = learner if isinstance(learner, (AlignmentModel, CorpusAlignment)) else None
    if aligned is not None:
        aligned.bind()
    load_best(kept, trained_tensors(learner))
    if aligned is not None:
        aligned.release()
    model.save_pretrained(stage.folder / BEST)
    return best


def write_record(stage: Stage, history: list[dict[str, float]], *, best: BestStep | None = None) -> None:
    """Write `training/STAGE.json`, with those of the stages before it, and last the file that makes the stage whole.

    Args:
        stage: that has ended.
        history: its log.
        best: the step that did best on what was held out; its checkpoint is there, and gets the same records.
    """
    folder = stage.folder / "training"
    folder.mkdir(exist_ok=True)
    if stage.after is not None:
        for earlier in (stage.after.folder / "training").glob("*.json"):
            (folder / earlier.name).write_bytes(earlier.read_bytes())
    record: dict[str, Any] = {
        "stage": stage.settings,
        "after": None if stage.after is None else str(stage.after.folder),
        "versions": versions("accelerate"),
        "threads": torch.get_num_threads(),
        "log": history,
    }
    if best is not None:
        record["best"] = asdict(best)
    if stage.section is not None:
        with atomic_path(folder / f"{stage.kind}.json") as file:
            file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if best is not None:
        shutil.copytree(folder, stage.folder / BEST / folder.name, dirs_exist_ok=True)
    with atomic_path(stage.folder / RECORD) as file:
        file.write_text(json.dumps(stage.settings, indent=1) + "\n", encoding="utf-8")
