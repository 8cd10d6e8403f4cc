"""Claims that the report makes in passing, each held against one figure with its interval.

    python -m benchmarks.claims FOLDER --bench docs/results/nano-bench.json --json docs/results/nano-claims.json

- *Alignment without the context stream does not converge* (section 4.7): stage 1 is trained with and without it, and
  with nothing else. How many of the held-out intervals find their own visual change among all others?
- *InfoNCE keeps the direction of motion where mean squared error loses it* (section 4.7, appendix Q): how well does a
  linear map read the direction of the moving thing off the aligned embedding, for intervals of held-out clips?
- *Gates route by content* (appendix O.3): how much more does the fusion weigh motion in intervals in which something
  moves than in those in which nothing does?
- *The gain grows with duration* (appendix J): how much more do motion tokens add in long clips than in short ones? Read
  from a result file of `himmel nano bench`, by `--bench`.
- *Without the context stream the model answers at chance* (section 4.7): how many motion questions does table 1's row
  of motion and residual get right? Read from a result file of `benchmarks.tables`, by `--tables`.

Stage 1 is trained on nano's clips without captions, which the report doesn't have, so that the objective alone is at
work; every row has the same steps, the same clips and the same order of them. What is there already is taken as it is.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from himmel._files import atomic_path
from himmel._versions import versions
from himmel.adapter import StreamInputs
from himmel.evaluation.statistics import cluster_interval
from himmel.model import HimmelForConditionalGeneration
from himmel.nano.draw import draw_spec
from himmel.training.batches import AlignmentCollator
from himmel.training.losses import nearer, zero_delta_mask
from himmel.training.run import run_recipe
from himmel.training.store import ClipStore, StoredClip
from himmel.training.targets import TargetStore

Array = npt.NDArray[np.float64]

# Rows: what each changes, and with how many seeds it is trained at most.
ROWS: Final[dict[str, dict[str, str]]] = {
    "all streams": {},
    "motion and residual": {"model.adapter.streams": "[motion, residual]"},
    "context": {"model.adapter.streams": "[context]"},
    "mean squared error": {"stage1.alignment.objective": "mse"},
    "untrained": {"stages": "[]"},
}
# An adapter of other sizes is not carried over, so that each row draws its own. The model's own number of tokens is no
# size: it only says how many of the adapter's are shown.
START: Final = {
    "begin_with": "nano",
    "projector": "null",
    "stages": "[]",
    "model.adapter.tokens_per_interval": "1",
}
_RIDGE: Final = 1e-2
_NOTHING, _ACTS, _CAMERA = 0, 1, 2
_WITHOUT: Final = "+ motion + residual"
_CHANCE: Final = 0.25
_NEAR: Final = 0.05
"""So far above chance is still close to it."""
_NOTED: Final = 0.01
"""A difference of shares below a point of a hundred is none."""


@dataclass(frozen=True)
class Seen:
    """What a trained adapter makes of M intervals of held-out clips, and what is true of them.

    Attributes:
        clip: int [M], seed of the clip.
        embedding: float [M, D], the aligned embedding.
        own: bool [M], for intervals with a visual change: whether their own is the nearest of all; else False.
        counted: bool [M], which intervals have a visual change.
        activity, direction: int [M], see `GroundTruth.classes`.
        shares: float [M, 3], mean weights of motion, residual and context; NaN without gates.
    """

    clip: npt.NDArray[np.int64]
    embedding: Array
    own: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    activity: npt.NDArray[np.int64]
    direction: npt.NDArray[np.int64]
    shares: Array


Trained = Mapping[tuple[str, int], tuple[Seen, Seen]]
"""By row and seed: what its adapter makes of clips that it has learned from, and of others."""


def main() -> None:
    """Train what is missing, measure, and print a verdict on each claim."""
    options = _options()
    start = _start(options.folder)
    rows = {
        (name, seed): _train(options, start, name, seed)
        for name in ROWS
        for seed in range(1 if name == "untrained" else options.seeds)
    }
    held = range(options.clips, options.clips + options.held_out)
    probed = range(min(options.clips, 2 * options.held_out))
    seen = {key: (look(folder, probed), look(folder, held)) for key, folder in rows.items()}
    found: dict[str, Any] = {
        "alignment without context": _convergence(seen),
        "direction": _direction(seen),
        "gates": _gates(seen),
    }
    if options.bench is not None:
        found["duration"] = _duration(json.loads(options.bench.read_text(encoding="utf-8")))
    if options.tables is not None:
        found["answers without context"] = _answers(json.loads(options.tables.read_text(encoding="utf-8")))
    _print(found)
    if options.json is not None:
        settings = {name: getattr(options, name) for name in ("clips", "held_out", "steps", "batch", "seeds")}
        document = {
            "benchmark": "nano-claims",
            "command": " ".join(["python -m benchmarks.claims FOLDER", *sys.argv[2:]]),
            "settings": settings,
            "versions": versions("accelerate"),
            "claims": found,
        }
        with atomic_path(options.json) as file:
            file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where trainings are kept")
    parser.add_argument("--clips", type=int, default=1200, help="training clips")
    parser.add_argument("--held-out", type=int, default=300, help="clips that are measured, the seeds after those")
    parser.add_argument("--steps", type=int, default=250, help="steps of stage 1")
    parser.add_argument("--batch", type=int, default=32, help="clips of a step")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each row")
    parser.add_argument("--bench", type=Path, help="result file of himmel nano bench, for the claim about duration")
    parser.add_argument("--tables", type=Path, help="result file of benchmarks.tables, for answers without context")
    parser.add_argument("--json", type=Path, help="file for what is found")
    return parser.parse_args()


def _start(folder: Path) -> Path:
    """A checkpoint of which rows take the trained image projector, which makes their targets, and nothing else."""
    return run_recipe("default", base="nano", overrides={"output": str(folder)} | START, tell=print)


def _train(options: argparse.Namespace, start: Path, name: str, seed: int) -> Path:
    overrides = {
        "output": str(options.folder),
        "begin_with": str(start),
        "projector": "null",
        "stages": "[1]",
        "data.clips": str(options.clips),
        "stage1.seed": str(100 + seed),
        "stage1.alignment.probe_weight": "0",
        "stage1.optimizer.steps": str(options.steps),
        "stage1.optimizer.batch_size": str(options.batch),
        "stage1.compute.precision": "float32",
    }
    return run_recipe("default", base="nano", overrides=overrides | ROWS[name], tell=print)


@torch.no_grad()
def look(folder: Path, seeds: Sequence[int]) -> Seen:
    """What the adapter in a checkpoint's folder makes of the rendered clips of these seeds of the training half."""
    model = HimmelForConditionalGeneration.from_pretrained(folder).eval()
    store = ClipStore(model.config, split="train")
    store.prepare(seeds, workers=os.cpu_count() or 1)
    targets = TargetStore(store, model)
    targets.fill(seeds, model)
    collate = AlignmentCollator(store, targets, model.host)
    rows = [_look_at(model, collate([(0, seed)]), store.load(seed, pictures=False)) for seed in seeds]
    joined = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    counted = joined["valid"] & zero_delta_mask(joined["targets"])[0]
    own = torch.zeros_like(counted)
    own[counted] = nearer(joined["embedding"][counted], joined["targets"][counted]) == 0
    return Seen(
        clip=joined["clip"].numpy(),
        embedding=joined["embedding"].double().numpy(),
        own=own.numpy(),
        counted=counted.numpy(),
        activity=joined["classes"][:, 0].numpy(),
        direction=joined["classes"][:, 1].numpy(),
        shares=joined["shares"].double().numpy(),
    )


def _look_at(model: HimmelForConditionalGeneration, batch: Mapping[str, Tensor], clip: StoredClip) -> dict[str, Tensor]:
    streams = StreamInputs(**{name: batch[name] for name in ("motion", "residual", "context", "step_mask")})
    output = model.adapter(model.adapter_inputs(streams))
    count = len(output.embedding)
    unknown = torch.full((count, 3), torch.nan)
    return {
        "clip": torch.full((count,), clip.seed),
        "embedding": output.embedding,
        "targets": batch["targets"],
        "valid": batch["valid"] & batch["step_mask"].any(1),
        "classes": clip.truth_classes,
        "shares": unknown if output.gates is None else output.gates.mean_shares([1] * count),
    }


def _convergence(seen: Trained) -> dict[str, Any]:
    found = {}
    for name in ("all streams", "motion and residual", "context", "untrained"):
        runs = [held for (row, _), (_, held) in seen.items() if row == name]
        own = np.concatenate([run.own[run.counted] for run in runs])
        found[name] = _share(own, np.concatenate([run.clip[run.counted] for run in runs]))
    chance = 1 / found["untrained"]["count"]
    without, with_context = (_has_learned(found, name) for name in ("motion and residual", "all streams"))
    return {
        "what": "share of intervals whose own visual change is the nearest of all",
        "rows": found,
        "chance": chance,
        # Where nothing converges with context either, a training was too short to tell.
        "verdict": _verdict(not without, told=without or with_context),
    }


def _has_learned(found: Mapping[str, Mapping[str, float]], name: str) -> bool:
    """Whether a row finds more than an adapter that has learned nothing."""
    return found[name]["low"] > found["untrained"]["high"] + _NOTED


def _direction(seen: Trained) -> dict[str, Any]:
    right = {name: _read_direction(seen, name) for name in ("all streams", "mean squared error", "untrained")}
    rows = {name: _share(hits, clips) for name, (hits, clips) in right.items()}
    nce, squared = right["all streams"], right["mean squared error"]
    gain = _share(nce[0] - squared[0], nce[1])
    told = gain["low"] > 0 or gain["high"] < 0
    return {
        "what": "share of movements whose direction, of four, a linear map reads off the aligned embedding",
        "rows": rows,
        "InfoNCE minus mean squared error": gain,
        "verdict": _verdict(gain["low"] > 0, told=told),
    }


def _read_direction(seen: Trained, name: str) -> tuple[Array, npt.NDArray[np.int64]]:
    """1 where the direction of a held-out movement was read right, else 0, and its clip; over all seeds of a row."""
    hits, clips = [], []
    for (row, _), (known, held) in seen.items():
        if row == name:
            found = _fit_and_read(known, held)
            moves = held.direction >= 0
            hits.append((found == held.direction[moves]).astype(float))
            clips.append(held.clip[moves])
    return np.concatenate(hits), np.concatenate(clips)


def _fit_and_read(known: Seen, held: Seen) -> npt.NDArray[np.int64]:
    """Ridge regression of the four directions on the embedding of movements, and what it says of others."""
    moves = known.direction >= 0
    mean, scale = known.embedding[moves].mean(0), known.embedding[moves].std(0) + 1e-9
    inputs = np.column_stack([(known.embedding[moves] - mean) / scale, np.ones(moves.sum())])
    wanted = np.eye(4)[known.direction[moves]]
    weight = _RIDGE * len(inputs) * np.eye(inputs.shape[1])
    solved = np.linalg.solve(inputs.T @ inputs + weight, inputs.T @ wanted)
    asked = (held.embedding[held.direction >= 0] - mean) / scale
    return np.asarray((np.column_stack([asked, np.ones(len(asked))]) @ solved).argmax(1))


def _gates(seen: Trained) -> dict[str, Any]:
    runs = [held for (row, _), (_, held) in seen.items() if row == "all streams"]
    rows = {}
    for label, activity in (("nothing moves", _NOTHING), ("a thing acts", _ACTS), ("the camera moves", _CAMERA)):
        shares = np.concatenate([run.shares[run.activity == activity] for run in runs])
        if len(shares):
            rows[label] = dict(zip(("motion", "residual", "context"), np.nanmean(shares, 0).tolist(), strict=True))
    more, clips = [], []
    for run in runs:
        for clip in np.unique(run.clip):
            mine = run.clip == clip
            acts, rests = mine & (run.activity != _NOTHING), mine & (run.activity == _NOTHING)
            if acts.any() and rests.any():
                more.append(float(np.nanmean(run.shares[acts, 0]) - np.nanmean(run.shares[rests, 0])))
                clips.append(int(clip))
    gain = _share(more, clips)
    return {
        "what": "how much more the fusion weighs motion where something happens in a clip than where nothing does",
        "rows": rows,
        "difference": gain,
        "verdict": _verdict(gain["low"] > _NOTED, told=gain["low"] > _NOTED or gain["high"] < _NOTED),
    }


def _duration(bench: Mapping[str, Any]) -> dict[str, Any]:
    answers: dict[tuple[int, int], dict[str, bool]] = {}
    for one in bench["answers"]:
        if one["motion"]:
            right = one["chosen"] == one["answer"]
            answers.setdefault((one["clip"], one["question"]), {})[one["condition"]] = right
    clips = np.array([clip for clip, _ in answers])
    seconds = np.array([draw_spec(int(clip), "eval").seconds for clip in clips])
    gains = np.array([float(one["motion"]) - float(one["no-motion"]) for one in answers.values()])
    middle = float(np.median(seconds))
    late = seconds > middle
    # One mean whose parts are the two halves' means, so that whole clips can be drawn anew.
    weighed = gains * len(gains) * np.where(late, 1 / late.sum(), -1 / (~late).sum())
    more = _share(weighed, clips)
    return {
        "what": "what motion tokens add to the share of right answers about motion, in longer clips minus in shorter",
        "rows": {
            f"up to {middle:.0f} s": _share(gains[~late], clips[~late]),
            f"longer, up to {seconds.max():.0f} s": _share(gains[late], clips[late]),
        },
        "difference": more,
        "verdict": _verdict(more["low"] > 0, told=more["low"] > 0 or more["high"] < 0),
    }


def _answers(tables: Mapping[str, Any]) -> dict[str, Any]:
    """What table 1 says of a model whose adapter was aligned without the context stream."""
    rows = {
        entry["row"]: {name: entry["all motion"][name] for name in ("share", "low", "high")}
        | {"count": entry["all motion"]["total"]}
        for entry in tables["tables"]["1"]
        if entry["row"] in (_WITHOUT, "full", "8 anchors") and entry["seed"] == 0 and entry["run"]
    }
    if _WITHOUT not in rows:
        raise SystemExit(f"The file of --tables has no row {_WITHOUT!r} in table 1 that was run; train it first.")
    without = rows[_WITHOUT]
    return {
        "what": "share of motion questions that are right after an alignment without the context stream (chance: 25 %)",
        "rows": rows,
        "verdict": _verdict(
            without["high"] < _CHANCE + _NEAR, told=without["low"] > _CHANCE or without["high"] < _CHANCE + _NEAR
        ),
    }


def _share(values: Sequence[float] | Array, clips: Sequence[int] | npt.NDArray[np.int64]) -> dict[str, float]:
    """A mean with its 95 % interval, whole clips drawn anew."""
    interval = cluster_interval([float(one) for one in values], [int(one) for one in clips])
    return {"share": float(np.mean(values)), "low": interval.low, "high": interval.high, "count": len(values)}


def _verdict(holds: bool, *, told: bool) -> str:
    if not told:
        return "cannot tell"
    return "holds here" if holds else "does not hold here"


def _print(found: Mapping[str, Any]) -> None:
    for name, claim in found.items():
        print(f"\n{name}: {claim['verdict']}\n  {claim['what']}")
        for row, value in claim["rows"].items():
            print(f"  {row:28} {_cell(value)}")
        for extra in ("InfoNCE minus mean squared error", "difference"):
            if extra in claim:
                print(f"  {extra:28} {_cell(claim[extra])}")


def _cell(value: Mapping[str, float]) -> str:
    if "low" not in value:
        return ", ".join(f"{name} {100 * share:.1f} %" for name, share in value.items())
    return f"{100 * value['share']:.1f} % [{100 * value['low']:.1f}, {100 * value['high']:.1f}] of {value['count']}"


if __name__ == "__main__":
    main()
