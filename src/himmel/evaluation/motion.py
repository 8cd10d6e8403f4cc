"""nano's benchmark: freshly rendered clips of evaluation seeds, four options a question, with controls.

Conditions, on the same questions: `motion` (anchors and motion tokens), `no-motion` (anchors alone, the same prompt
without motion tokens), `shuffled` (anchors with the motion streams of the next seed's clip) and `text` (the question
alone, best asked of a model that was trained on the text alone).
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import torch

from himmel._files import atomic_path
from himmel._progress import track
from himmel._versions import versions
from himmel.choices import Condition, Scoring
from himmel.errors import UsageError
from himmel.evaluation.gates import MeanShares, shares_by_kind
from himmel.evaluation.summary import Judged, Summary, summarise
from himmel.hosts import Loading
from himmel.methods.models import checkpoint_name
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor, PreparedSample
from himmel.model.inputs import ChoiceInputs
from himmel.model.repository import local_folder
from himmel.model.scoring import score_logits, weigh
from himmel.nano.clips import FIRST_EVAL_SEED
from himmel.nano.kinds import MOTION_KINDS
from himmel.nano.questions import choose_questions
from himmel.training.store import ClipStore, StoredClip

CONDITIONS: Final[tuple[Condition, ...]] = get_args(Condition)
_COUNTED: Final = 50
"""Clips whose prompts' tokens are counted."""
SCORING: Final[Scoring] = "raw"
"""The options are as long as each other and nano was trained on them, so that their likelihoods need no correction."""


@dataclass(frozen=True)
class MotionResult:
    """What a run of the benchmark found.

    Attributes:
        summary: accuracies by condition and kind, and the paired tests.
        gates: by kind, how the fusion weighed the streams under the condition `motion`; empty where it has no gates.
        clips: number of clips.
        questions: number of questions asked under each condition.
        first_seed: seed of the first clip; the others follow.
        checkpoint: folder of the adapter and LoRA; `nano` for the one that ships.
        control: that of the checkpoint that was asked by text alone; None: the same one.
        tokens: of text, image and motion that a prompt has under each condition, mean over the clips, with all of a
            clip's questions and options behind one video.
        seconds: wall time of the answering.
    """

    summary: Summary
    gates: dict[str, MeanShares]
    clips: int
    questions: int
    first_seed: int
    checkpoint: str
    control: str | None
    tokens: dict[str, dict[str, float]]
    seconds: float


def run_motion_benchmark(
    checkpoint: str | Path,
    *,
    num_clips: int = 400,
    seed: int = FIRST_EVAL_SEED,
    questions_per_clip: int = 2,
    conditions: Sequence[Condition] = CONDITIONS,
    control: str | Path | None = None,
    output: str | Path | None = None,
) -> MotionResult:
    """Render clips that were never trained on, ask, and compare with the controls.

    Answers are written one clip a line to `output` beside the result (`.answers.jsonl`); a run that was interrupted
    continues from there if checkpoint and settings are the same.

    Args:
        checkpoint: folder that `save_pretrained` or training wrote.
        num_clips: how many clips, from 1 (2 where tokens are shuffled).
        seed: of the first clip, an evaluation seed.
        questions_per_clip: at most so many questions of a clip; at least half of them ask about motion.
        conditions: which of `CONDITIONS` to ask under.
        control: checkpoint that is asked by text alone, such as one that was trained so; None: `checkpoint`.
        output: result file, JSON; None writes nothing.

    Raises:
        UsageError: too few clips, a training seed or an unknown condition.
        HimmelError: checkpoint, host or clips are missing and cannot be fetched.
    """
    _check(num_clips, seed, conditions)
    model = _load(checkpoint)
    store = ClipStore(model.config, split="eval")
    seeds = list(range(seed, seed + num_clips))
    store.prepare(seeds, workers=os.cpu_count() or 1)
    folders = [local_folder(checkpoint)] + ([] if control is None else [local_folder(control)])
    mark = _fingerprint(folders, num_clips, seed, questions_per_clip, conditions)
    answers = _AnswerFile(None if output is None else Path(output), mark)
    asker = _Asker(model, store, questions_per_clip, control=model if control is None else _load(control))
    begun = time.monotonic()
    for place, one in enumerate(track(seeds, what="Asking about motion", total=len(seeds))):
        if one not in answers.done:
            answers.add(one, asker.ask(one, seeds[(place + 1) % len(seeds)], conditions))
    counted = asker.count_tokens(seeds[: min(num_clips, _COUNTED)], conditions)
    judged = [item for one in seeds for item in answers.done[one]]
    result = MotionResult(
        summary=summarise(judged),
        gates=shares_by_kind(judged),
        clips=num_clips,
        questions=len(judged) // len(conditions),
        first_seed=seed,
        checkpoint=checkpoint_name(checkpoint),
        control=None if control is None else checkpoint_name(control),
        tokens=counted,
        seconds=time.monotonic() - begun,
    )
    if output is not None:
        _write(result, mark, judged, Path(output))
    return result


class _Asker:
    def __init__(
        self,
        model: HimmelForConditionalGeneration,
        store: ClipStore,
        most: int,
        *,
        control: HimmelForConditionalGeneration,
    ) -> None:
        self._model = model
        self._control = control
        self._store = store
        self._processor = HimmelProcessor(model.config, model.host)
        self._most = most

    def ask(self, seed: int, other: int, conditions: Sequence[Condition]) -> list[Judged]:
        """Answers about the clip of `seed`; `other` lends its motion to the shuffled condition."""
        clip = self._store.load(seed)
        return [item for condition in conditions for item in self._ask_one(clip, condition, other)]

    def count_tokens(self, seeds: Sequence[int], conditions: Sequence[Condition]) -> dict[str, dict[str, float]]:
        """Mean tokens of the prompts about these clips, see `MotionResult.tokens`."""
        found: dict[str, dict[str, float]] = {}
        for condition in conditions:
            rows = []
            for seed in seeds:
                clip = self._store.load(seed)
                inputs = self._encode(clip, clip.sample, condition)[1].inputs
                image = int((inputs.input_ids == self._model.host.image_token_id).sum())
                motion = int((inputs.input_ids == self._model.host.motion_token_id).sum())
                rows.append((int(inputs.real.sum()) - image - motion, image, motion))
            means = np.mean(rows, axis=0).round(1).tolist()
            found[condition] = dict(zip(("text", "image", "motion"), means, strict=True))
        return found

    def _encode(self, clip: StoredClip, sample: PreparedSample, condition: Condition) -> tuple[list[int], ChoiceInputs]:
        places = choose_questions(clip.questions, most=self._most)
        return places, self._processor.encode_choices(
            [sample],
            [[(clip.questions[place].text, clip.questions[place].choices) for place in places]],
            motion=condition in ("motion", "shuffled"),
            anchors=condition != "text",
        )

    def _ask_one(self, clip: StoredClip, condition: Condition, other: int) -> list[Judged]:
        sample = clip.sample
        if condition == "shuffled":
            sample = sample.with_streams_of(self._store.load(other).sample)
        places, asked = self._encode(clip, sample, condition)
        model = self._control if condition == "text" else self._model
        with torch.no_grad():
            output = model(asked.inputs)
        scores = score_logits(output.logits, asked)[0]
        gates = None if output.motion is None else output.motion.gates
        shares = None if gates is None or not bool(gates.step_mask.any()) else gates.mean_shares()[0].tolist()
        return [
            Judged(
                clip=clip.seed,
                question=place,
                kind=clip.questions[place].kind,
                motion=clip.questions[place].kind in MOTION_KINDS,
                condition=condition,
                chosen=int(np.argmax(weigh(score, scoring=SCORING).numpy())),
                answer=clip.questions[place].answer,
                shares=shares,
            )
            for place, score in zip(places, scores, strict=True)
        ]


class _AnswerFile:
    """Answers so far, one clip a line; the first line says which run they belong to."""

    def __init__(self, output: Path | None, mark: str) -> None:
        self.done: dict[int, list[Judged]] = {}
        self._path = None if output is None else output.with_suffix(".answers.jsonl")
        if self._path is None:
            return
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        if lines[:1] == [json.dumps({"run": mark})]:
            # A line that was cut off in writing is not valid JSON: that clip is asked again.
            for line in lines[1:]:
                if line.endswith("}"):
                    entry = json.loads(line)
                    self.done[entry["clip"]] = [Judged(**item) for item in entry["answers"]]
        with atomic_path(self._path) as file:
            kept = [json.dumps({"run": mark}), *(_line(clip, items) for clip, items in self.done.items())]
            file.write_text("\n".join(kept) + "\n", encoding="utf-8")

    def add(self, clip: int, items: list[Judged]) -> None:
        self.done[clip] = items
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(clip, items) + "\n")


def _line(clip: int, items: list[Judged]) -> str:
    return json.dumps({"answers": [asdict(item) for item in items], "clip": clip})


def _check(num_clips: int, seed: int, conditions: Sequence[Condition]) -> None:
    unknown = [condition for condition in conditions if condition not in CONDITIONS]
    if unknown or not conditions:
        raise UsageError(f"conditions={list(conditions)} is not possible; choose among {', '.join(CONDITIONS)}.")
    least = 2 if "shuffled" in conditions else 1
    if num_clips < least:
        raise UsageError(f"{num_clips} clips are too few for these conditions; ask for at least {least}.")
    if seed < FIRST_EVAL_SEED:
        raise UsageError(f"Seed {seed} may have been trained on; evaluation seeds start at {FIRST_EVAL_SEED}.")


def _load(checkpoint: str | Path) -> HimmelForConditionalGeneration:
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    loading = None if device is None else Loading(device=device)
    model = HimmelForConditionalGeneration.from_pretrained(checkpoint, loading=loading)
    model.eval()
    return model


def _fingerprint(checkpoints: Sequence[Path], *settings: Any) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for checkpoint in checkpoints:
        for file in sorted(checkpoint.rglob("*.safetensors")):
            if "state" not in file.relative_to(checkpoint).parts:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _write(result: MotionResult, mark: str, judged: Sequence[Judged], output: Path) -> None:
    content = {
        "benchmark": "nano-motion",
        "checkpoint": result.checkpoint,
        "control": result.control,
        "tokens": result.tokens,
        "run": mark,
        "clips": result.clips,
        "first_seed": result.first_seed,
        "questions": result.questions,
        "scoring": SCORING,
        "seconds": round(result.seconds, 1),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        **result.summary.to_json(),
        "gates": {kind: asdict(shares) for kind, shares in result.gates.items()},
        "answers": [asdict(item) for item in judged],
    }
    with atomic_path(output) as file:
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
