"""A recipe for one's own videos: written, checked on a few samples, and what it will cost."""

import json
import os
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from himmel._files import atomic_path
from himmel._text import by_number
from himmel.data.samples import KINDS, Sample, SampleTable
from himmel.data.samples.extract import UnreadableError
from himmel.data.samples.skipped import SkippedList
from himmel.errors import HimmelError, UsageError
from himmel.hosts import load_host
from himmel.model import HimmelConfig, HimmelProcessor
from himmel.training.corpus.samples import SampleLoader, TooLongError
from himmel.training.corpus.stage import distinct_videos, make_reader, read_tables
from himmel.training.recipe import Recipe
from himmel.training.resolve import base_names, resolve_recipe
from himmel.training.settings import make_settings

RECIPE: Final = "recipe.yaml"
# Passes over the samples: few enough not to learn them by heart, many enough to learn something of a small set.
_PASSES: Final = 4
_LEAST_STEPS, _MOST_STEPS_1, _MOST_STEPS_2 = 20, 21_000, 3_500


@dataclass(frozen=True)
class Checked:
    """One sample that was looked at.

    Attributes:
        name: its id, and the video or picture it shows.
        tokens: of its prompt and answers; None where it can't be used, and `why` says so.
        seconds: that reading it took.
    """

    name: str
    tokens: int | None
    why: str
    seconds: float


@dataclass(frozen=True)
class Begun:
    """What `begin_recipe` has found.

    Attributes:
        recipe: the file that was written.
        samples: by what they show.
        videos: how many different ones.
        unusable: rows of the annotations that are none.
        checked: some samples, spread evenly over all.
        tokens: of all of stage 2, by the mean of those checked.
        reading_seconds: that one process takes to read all that training draws, both stages, by the same mean.
        steps: of each stage that will be run.
    """

    recipe: Path
    samples: dict[str, int]
    videos: int
    unusable: int
    checked: tuple[Checked, ...]
    tokens: int
    reading_seconds: float
    steps: dict[str, int]


def begin_recipe(folder: Path, *, videos: Path, questions: Path, host: str = "nano", checks: int = 10) -> Begun:
    """Write `folder`/recipe.yaml for one's own videos, and try some of their samples.

    Args:
        folder: made if it is not there.
        videos: folder that the videos' paths in the questions begin at.
        questions: annotations in any form that `himmel.data.samples` reads.
        host: name or folder.
        checks: how many samples are read.

    Raises:
        UsageError: a recipe is there already, or the videos' folder is not.
        RecipeError: the questions have nothing to learn from.
        HimmelError: files can't be read, or none of the samples that were tried can be used.
    """
    target = folder / RECIPE
    if target.exists():
        raise UsageError(f"{str(target)!r} is there already; name another folder, or remove it.")
    if not videos.is_dir():
        raise UsageError(f"{str(videos)!r} is no folder; name the one where the videos' paths begin.")
    kind = load_host(host).name
    base = next((name for name in base_names() if kind.startswith(name)), None)
    if base is None:
        raise UsageError(f"No recipe is made for hosts of the kind {kind!r}; choose one of {', '.join(base_names())}.")
    with tempfile.TemporaryDirectory(prefix="himmel-init-") as scratch:
        # The settings that only depend on the host are known from a first draft; the numbers of steps from the samples.
        draft = Path(scratch) / RECIPE
        draft.write_text(_text(folder, videos, questions, host=host, base=base, steps=(1, 1)), encoding="utf-8")
        recipe = resolve_recipe(draft).recipe
        skipped = SkippedList(Path(scratch) / "skipped.jsonl")
        table, _ = read_tables(recipe.data, seed=0, skipped=skipped)
        unusable = len(skipped.entries())
        checked = tuple(_check(recipe, table, skipped, checks))
    good = [one for one in checked if one.tokens is not None]
    if not good:
        raise HimmelError(
            f"None of {by_number(len(checked), 'one sample', '{} samples')} that were tried can be used, the first "
            f"because {checked[0].why.rstrip('.')} ({checked[0].name}); correct --videos or --questions."
        )
    count = len(distinct_videos(table))
    steps = _steps(recipe, samples=len(table), videos=count)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as file:
        file.write_text(_text(folder, videos, questions, host=host, base=base, steps=steps), encoding="utf-8")
    stages = {f"stage{number}": steps[number - 1] for number in recipe.stages}
    drawn = {name: number * _batch_size(recipe, name) for name, number in stages.items()}
    return Begun(
        recipe=target,
        samples={kind: int((table.kinds == number).sum()) for number, kind in enumerate(KINDS)},
        videos=count,
        unusable=unusable,
        checked=checked,
        tokens=round(float(np.mean([one.tokens for one in good])) * drawn.get("stage2", 0)),
        reading_seconds=float(np.mean([one.seconds for one in good])) * sum(drawn.values()),
        steps=stages,
    )


def _check(recipe: Recipe, table: SampleTable, skipped: SkippedList, count: int) -> Sequence[Checked]:
    width = load_host(recipe.host).hidden_size
    config = HimmelConfig.of(make_settings(recipe.model, host=recipe.host, host_hidden_size=width))
    processor = HimmelProcessor(config)
    room = processor.host.context_length
    most = min(recipe.data.max_tokens or room, room)
    reader = make_reader(recipe.data, config, last=False)
    loader = SampleLoader(processor, reader, max_tokens=most, motion=True, skipped=skipped)
    # The first read starts a process, which is none of a sample's time.
    rows = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int))
    _try(loader, processor, table[int(rows[0])])
    return [_try(loader, processor, table[int(row)]) for row in rows]


def _try(loader: SampleLoader, processor: HimmelProcessor, sample: Sample) -> Checked:
    name = f"{sample.id}: {sample.media[0].path}" if sample.media else sample.id
    begin = time.perf_counter()
    try:
        shown = loader(sample)
    except (UnreadableError, TooLongError, HimmelError, ValueError) as error:
        # The last two as in `DrawnSamples`: a host refuses its text or its picture.
        return Checked(name, None, " ".join(str(error).split()), time.perf_counter() - begin)
    seconds = time.perf_counter() - begin
    lengths = processor.lengths_by_turn(shown.sample, shown.turns, motion=shown.motion, anchors=shown.anchors)
    return Checked(name, lengths[-1], "", seconds)


def _batch_size(recipe: Recipe, stage: str) -> int:
    return (recipe.stage1 if stage == "stage1" else recipe.stage2).optimizer.batch_size


def _steps(recipe: Recipe, *, samples: int, videos: int) -> tuple[int, int]:
    """Steps of both stages for a few passes over what there is."""
    wanted = (
        _PASSES * videos // recipe.stage1.optimizer.batch_size,
        _PASSES * samples // recipe.stage2.optimizer.batch_size,
    )
    return (
        min(max(wanted[0], _LEAST_STEPS), _MOST_STEPS_1),
        min(max(wanted[1], _LEAST_STEPS), _MOST_STEPS_2),
    )


_NANO: Final = """\
# The shipped checkpoint knows how things move from rendered clips; a small set would not teach it that.
begin_with: nano
projector: null
stages: [2]
stage1: {{alignment: {{probe_weight: 0.0}}}}
stage2:
  blind_share: 0.0
  optimizer:
    steps: {steps_2}          # about {passes} passes over the samples
    batch_size: 4
    warmup_steps: {warmup_2}
    adapter_lr: 5.0e-5
    lora_lr: 2.0e-4
    projector_lr: 2.0e-4
    save_every: {save_2}
  compute: {{workers: 1}}     # processes that read ahead
"""
_LARGE: Final = """\
# Stage 1 aligns motion with the host's own vision on the videos alone; stage 2 learns the answers, with LoRA.
# A checkpoint to go on from, a folder or a repository's name, in place of beginning afresh:
# begin_with: someone/himmel-adapter
stages: [1, 2]
stage1:
  alignment: {{probe_weight: 0.0}}
  optimizer:
    {{steps: {steps_1}, batch_size: 32, gradient_accumulation: 4, warmup_steps: {warmup_1}, save_every: {save_1}}}
  compute: {{deepspeed: null}}   # zero2 shares the optimiser's state among several devices
stage2:
  blind_share: 0.0
  optimizer:
    {{steps: {steps_2}, batch_size: 16, gradient_accumulation: 8, warmup_steps: {warmup_2}, save_every: {save_2}}}
  compute: {{deepspeed: null}}
"""
_COMMON: Final = """\
# Written by `himmel train init`. Run it:
#
#   himmel train {recipe}
#
# `himmel recipe show {recipe}` prints every setting and where it comes from; whatever is not stated here comes
# from the base. Add --set KEY=VALUE to change one for a run.
base: {base}
host: {host}
output: {output}
data:
  source: files
  folder: {videos}
  sets:
    # Rows of video (or image), question, answer and, if there are any, choices; or conversations. Add more sets to mix
    # them: `weight` says how often their samples are drawn.
    - {{annotations: {questions}, media: ., sampling: all, weight: 1.0, choices: words}}
  # Whole turns that go beyond are dropped; null takes as many tokens as the host was made for.
  max_tokens: null
  # A video that takes longer, or more memory, is skipped, and listed in skipped.jsonl in the stage's folder.
  seconds_per_video: 120
  megabytes_per_video: 2048
  # The folder of `himmel prepare`, so that videos are not read anew each time they are drawn.
  cache: null
  # {{share: 0.1}} holds about a tenth of the videos out. They are looked at every `optimizer.validate_every` steps, and
  # the best step's checkpoint is kept, in best in the stage's folder.
  validation: null
"""


def _text(folder: Path, videos: Path, questions: Path, *, host: str, base: str, steps: tuple[int, int]) -> str:
    # JSON's strings are YAML's, whatever is in a path.
    place = videos.resolve()
    numbers = {"steps_1": steps[0], "steps_2": steps[1], "passes": _PASSES}
    numbers |= {f"warmup_{number}": steps[number - 1] // 10 for number in (1, 2)}
    numbers |= {f"save_{number}": max(1, steps[number - 1] // 4) for number in (1, 2)}
    common = _COMMON.format(
        recipe=shlex.quote(str(folder / RECIPE)),
        base=base,
        host=_quoted(host),
        output=_quoted(str(folder / "runs")),
        videos=_quoted(str(place)),
        questions=_quoted(os.path.relpath(questions.resolve(), place)),
    )
    return common + (_NANO if base == "nano" else _LARGE).format(**numbers)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
