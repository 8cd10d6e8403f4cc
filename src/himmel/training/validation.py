"""What is looked at while a stage trains, and never learned from; the best weights so far are kept by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from himmel._files import atomic_path
from himmel.errors import RecipeError
from himmel.training.gather import gather_lists, num_processes
from himmel.training.losses import Embedded, Embeddings, retrieval, zero_delta_mask
from himmel.training.plan import Stage
from himmel.training.recipe import Stage1Section

Batches = tuple[tuple[int, ...], ...]
Rows = Mapping[str, Tensor]
"""What a model makes of one held-out batch, see `Validation.summarise`."""

BEST: Final = "best"
"""In a stage's folder: the checkpoint of the step that did best on what was held out."""
BEST_PARTS: Final = "best.safetensors"
"""Among a stage's saved states: what training had changed by then."""


_BRANCH: Final = "branch_"


@dataclass(frozen=True)
class HeldOut:
    """Data that nothing learns from.

    Attributes:
        items: the data.
        groups: which items make each batch; those of one group show the same kind of thing, so that they go through the
            same parts of a model. None is empty.
        collate: makes it.
    """

    items: Dataset[Any]
    groups: tuple[Batches, ...]
    collate: Callable[[Sequence[Any]], dict[str, Any]]


@dataclass(frozen=True)
class Validation:
    """How a stage is looked at.

    Attributes:
        held_out: what at.
        summarise: from the rows of all batches, which the model gives under `rows` when it is not training, to numbers.
    """

    held_out: HeldOut
    summarise: Callable[[Sequence[Rows]], dict[str, float]]


def looks(stage: Stage) -> dict[str, Any]:
    """For transformers' TrainingArguments: when a stage is looked at, and by which number its best step is known."""
    if stage.data is None or stage.data.validation is None:
        return {}
    aligns = isinstance(stage.section, Stage1Section)
    return {
        "eval_strategy": "steps",
        "eval_steps": stage.optimizer.validate_every,
        "metric_for_best_model": "eval_recall_at_1" if aligns else "eval_loss",
        "greater_is_better": aligns,
    }


def in_batches(items: Sequence[int], size: int) -> Batches:
    """Items in their order, `size` to a batch; the last one may be smaller."""
    rest = iter(items)
    return tuple(iter(lambda: tuple(islice(rest, size)), ()))


@torch.no_grad()
def look_at(
    held_out: HeldOut, model: nn.Module, place: Callable[[dict[str, Any]], dict[str, Any]], *, workers: int
) -> list[Rows]:
    """The rows of all batches, each process its share of them.

    Nothing random is drawn, so that training goes on as if nothing had been looked at.

    Args:
        held_out: the data.
        model: gives `rows`; where its weights are spread over processes, each of them runs it equally often.
        place: puts a batch on the model's device.
        workers: processes that read ahead.
    """
    rank = torch.distributed.get_rank() if num_processes() > 1 else 0
    mine: list[tuple[int, ...]] = []
    counts: list[bool] = []
    # Where weights are spread over processes, all of them go through the same parts at once: a round is of one group.
    for group in held_out.groups:
        for start in range(0, len(group), num_processes()):
            found = group[start : start + num_processes()]
            counts.append(rank < len(found))
            # A process without a batch of its own runs the round's first one too, and doesn't count it.
            mine.append(found[rank if counts[-1] else 0])
    loader = DataLoader(
        held_out.items,
        batch_sampler=[list(batch) for batch in mine],
        collate_fn=held_out.collate,
        num_workers=workers,
        generator=torch.Generator(),
    )
    trained = model.training
    model.eval()
    try:
        made = [model(**place(batch))["rows"] for batch in loader]
    finally:
        model.train(trained)
    kept = [rows for rows, own in zip(made, counts, strict=True) if own]
    return gather_lists([{name: value.detach().float().cpu() for name, value in rows.items()} for rows in kept])


def summarise_intervals(rows: Sequence[Rows], loss: Callable[[Embeddings, Tensor, Tensor], Tensor]) -> dict[str, float]:
    """Stage 1's numbers: retrieval among all held-out intervals, of the whole embedding and of each branch's own.

    Args:
        rows: `embedding`, `targets` and a `branch_NAME` for each branch, [M, D]; `valid`, [M]; `log_temperature`, [1].
        loss: of all embeddings, their targets and the temperature's logarithm.

    Raises:
        RecipeError: no held-out interval has a target.
    """
    every = {name: torch.cat([one[name] for one in rows]) for name in rows[0] if name != "log_temperature"}
    keep = every["valid"].bool() & zero_delta_mask(every["targets"])[0]
    if not keep.any():
        raise RecipeError(
            f"None of the {len(keep)} intervals that are held out shows a change from one anchor to the next, so stage "
            "1 can't be measured on them; hold out more (data.validation), or nothing (data.validation=null)."
        )
    targets = every["targets"][keep]
    branches = {name.removeprefix(_BRANCH): value[keep] for name, value in every.items() if name.startswith(_BRANCH)}
    whole = Embedded(every["embedding"][keep], branches)
    found = {"intervals": float(keep.sum())} | retrieval(whole.embedding, targets)
    for name, embedding in branches.items():
        found |= {f"{name}_{what}": value for what, value in retrieval(embedding, targets).items()}
    return {"loss": float(loss(whole, targets, rows[0]["log_temperature"])), **found}


def interval_rows(own: Embeddings, targets: Tensor, valid: Tensor, temperature: Tensor) -> Rows:
    """What `summarise_intervals` reads of a batch."""
    branches = {f"{_BRANCH}{name}": value for name, value in own.branches.items()}
    log_temperature = temperature.log().reshape(1)
    return {
        "embedding": own.embedding,
        "targets": targets,
        "valid": valid,
        "log_temperature": log_temperature,
        **branches,
    }


def summarise_answers(rows: Sequence[Rows]) -> dict[str, float]:
    """The language model's numbers, over all answers' tokens together.

    Args:
        rows: scalars of each batch: `loss` summed over its answers' tokens, `right`, how many of them were thought
            most probable, and `tokens`, how many there are.
    """
    sums = {name: sum(float(one[name]) for one in rows) for name in ("loss", "right", "tokens")}
    tokens = max(sums["tokens"], 1.0)
    return {"loss": sums["loss"] / tokens, "right_tokens": sums["right"] / tokens, "answer_tokens": sums["tokens"]}


@dataclass(frozen=True)
class BestStep:
    """The step that did best so far, and the number by which that is known."""

    step: int
    value: float


def write_best(file: Path, tensors: Mapping[str, Tensor], best: BestStep) -> None:
    """Keep what training has changed, in one file, which is replaced as a whole."""
    metadata = {"step": str(best.step), "value": repr(best.value)}
    with atomic_path(file) as path:
        save_file({name: one.detach().contiguous().cpu() for name, one in tensors.items()}, path, metadata=metadata)


def read_best(file: Path) -> BestStep | None:
    """Which step `write_best` has kept; None if there is no such file."""
    if not file.is_file():
        return None
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    return BestStep(int(metadata["step"]), float(metadata["value"]))


def load_best(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Put what `write_best` has kept into these tensors."""
    for name, value in load_file(file).items():
        tensors[name].data.copy_(value)
