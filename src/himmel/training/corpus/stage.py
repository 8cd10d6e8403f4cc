"""A stage on files: from its recipe's `data` section to items, batches and what is logged about them."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch.utils.data import Dataset
from transformers import TrainerCallback

from himmel._text import by_number
from himmel.data.cache import StreamCache
from himmel.data.cache.features import FeatureStore, feature_sets
from himmel.data.samples import KINDS, Group, Kind, Sample, SampleTable, SetSpec, Unusable, draw_order, read_set
from himmel.data.samples.order import IntArray
from himmel.data.samples.sets import annotation_files, check_sampling
from himmel.data.samples.skipped import Skipped, SkippedList
from himmel.data.workers import MEGABYTE, Limits
from himmel.errors import RecipeError
from himmel.hosts import vision_mark
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.reading import Reading
from himmel.training.corpus.batches import ConversationCollator, collate_aligned
from himmel.training.corpus.callbacks import SameSamples, SkippedCount
from himmel.training.corpus.holdout import HoldOut, batches_by_kind, choose_rows
from himmel.training.corpus.reading import ExtractNow, FromCache, VideoReader
from himmel.training.corpus.samples import DrawnSamples, SampleLoader, VideoLoader
from himmel.training.corpus.targets import KeptTargets
from himmel.training.gather import is_first
from himmel.training.plan import Stage
from himmel.training.recipe import DataSection, ProjectorSection, Stage1Section, Stage2Section, ValidationSection
from himmel.training.validation import HeldOut

LIST: Final = "skipped.jsonl"
"""In a stage's folder: what was skipped, and why."""
# About what a token of English is, in letters; a text's tokens are only estimated to sort samples by length.
_LETTERS_PER_TOKEN: Final = 4


@dataclass(frozen=True)
class CorpusData:
    """What a trainer takes.

    Attributes:
        items: in the order in which they are to be taken.
        collate: makes batches of them.
        callbacks: of the trainer.
        shows_host: whether the host's vision part has to look at something in each step.
        held_out: what is not learned from; None without validation.
    """

    items: Dataset[Any]
    collate: Callable[[Sequence[Any]], dict[str, Any]]
    callbacks: list[TrainerCallback]
    shows_host: bool
    held_out: HeldOut | None


def corpus_data(stage: Stage, model: HimmelForConditionalGeneration, *, batch_size: int) -> CorpusData:
    """The data of a stage that learns from files.

    Args:
        stage: which.
        model: that learns.
        batch_size: of one process, for what is held out.

    Raises:
        RecipeError: the stage asks for what only rendered clips have, or there is nothing to learn from, or the cache
            has the host's features of some videos alone.
        HimmelError: annotations are missing or damaged.
    """
    assert stage.data is not None
    check_stage(stage)
    skipped = SkippedList(stage.folder / LIST)
    table, held = read_tables(stage.data, seed=stage.seed, skipped=skipped)
    processor = HimmelProcessor(model.config, model.host)
    aligns = isinstance(stage.section, Stage1Section)
    features = known_features(stage.data, model) if aligns else None
    reader = make_reader(stage.data, model.config, last=aligns, features=features)
    make: Callable[[Sample], Any]
    if aligns:
        rows = distinct_videos(table)
        if not len(rows):
            raise RecipeError(
                "Stage 1 needs videos, and data.sets have none; add a set with videos, or set stages=[2]."
            )
        groups, held_groups = [Group("video", rows)], [Group("video", distinct_videos(held))]
        make = VideoLoader(processor, reader, kept=KeptTargets.of(model))
    else:
        # Nothing of the host's projector is used where nothing is shown.
        shown = [kind for kind in KINDS if kind != "text" or not isinstance(stage.section, ProjectorSection)]
        groups, held_groups = (group_samples(one, stage.data, kinds=shown) for one in (table, held))
        if not groups:
            raise RecipeError(f"data.sets show nothing that {stage.kind} could learn from; give videos or pictures.")
        most = min(stage.data.max_tokens or processor.host.context_length, processor.host.context_length)
        motion = isinstance(stage.section, Stage2Section)
        make = SampleLoader(processor, reader, max_tokens=most, motion=motion, skipped=skipped)
    order = draw_order(
        groups,
        batches=stage.optimizer.steps,
        batch_size=stage.optimizer.batch_size,
        seed=stage.seed,
        sizes=None if aligns or not stage.data.group_by_length else estimate_tokens(table, model.config),
    )
    collate: Callable[[Sequence[Any]], dict[str, Any]] = collate_aligned if aligns else ConversationCollator(processor)
    held_out = None
    if stage.data.validation is not None:
        rows = _held_rows(held_groups, stage.data.validation, learned=len(table), seed=stage.seed)
        items = DrawnSamples(held, rows, make, seed=stage.seed, skipped=skipped)
        held_batches = batches_by_kind(held, rows, estimate_tokens(held, model.config), batch_size)
        held_out = HeldOut(items, held_batches, collate)
    return CorpusData(
        items=DrawnSamples(table, order, make, seed=stage.seed, skipped=skipped),
        collate=collate,
        callbacks=[SkippedCount(skipped), SameSamples(_mark_of(table, order))],
        shows_host=features is None or features.about.kind != "pooled",
        held_out=held_out,
    )


def _mark_of(table: SampleTable, order: IntArray) -> str:
    """A hash of samples and their order."""
    digest = hashlib.sha256(table.text.data)
    for part in (table.ends, table.sets, order):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _held_rows(groups: Sequence[Group], validation: ValidationSection, *, learned: int, seed: int) -> IntArray:
    """Rows that are looked at.

    Raises:
        RecipeError: there are none.
    """
    rows = np.concatenate([np.empty(0, np.int64), *(group.rows for group in groups if group.share > 0)])
    if not len(rows):
        raise RecipeError(
            f"data.validation.share = {validation.share} holds nothing out that this stage could be measured on, "
            f"beside {by_number(learned, 'one sample', '{} samples')} that it learns from; raise it, or set "
            "data.validation=null."
        )
    return choose_rows(rows, most=validation.samples, seed=seed)


def check_stage(stage: Stage) -> None:
    """Refuse what only rendered clips have.

    Raises:
        RecipeError: a setting needs the truth about what moves, which files don't tell.
    """
    section = stage.section
    if stage.data is None or stage.data.source != "files":
        return
    if isinstance(section, Stage1Section) and section.alignment.probe_weight > 0:
        key, value = "stage1.alignment.probe_weight", section.alignment.probe_weight
    elif isinstance(section, Stage2Section) and section.blind_share > 0:
        key, value = "stage2.blind_share", section.blind_share
    elif isinstance(section, Stage2Section) and section.still_share > 0:
        key, value = "stage2.still_share", section.still_share
    elif isinstance(section, Stage2Section) and section.label_share > 0:
        key, value = "stage2.label_share", section.label_share
    else:
        return
    raise RecipeError(f"{key} = {value} needs the truth about rendered clips, which files don't tell; set it to 0.")


def check_files(data: DataSection) -> None:
    """See that the annotation files of a recipe are there, before a host is loaded.

    Raises:
        RecipeError: no sets are named.
        HimmelError: a file is missing, or a sampling strategy is none.
    """
    if data.source == "files":
        for spec in specs_of(data).values():
            for _, sampling in annotation_files(spec):
                check_sampling(sampling)


def specs_of(data: DataSection) -> dict[int, SetSpec]:
    """The sets of a recipe that are drawn from, by their numbers, with paths from its folder on.

    Raises:
        RecipeError: there are none.
    """
    if not data.sets:
        raise RecipeError("data.source = 'files' names no files; add data.sets, a list of {annotations: FILE}.")
    folder = Path(data.folder).expanduser()
    specs = {
        number: SetSpec(
            annotations=folder / one.annotations,
            media=None if one.media is None else folder / one.media,
            sampling=one.sampling,
            choices=one.choices,
        )
        for number, one in enumerate(data.sets)
        if one.weight > 0
    }
    if not specs:
        raise RecipeError("Each of data.sets has weight 0, so that nothing is learned; give at least one a weight.")
    return specs


def read_tables(data: DataSection, *, seed: int, skipped: SkippedList) -> tuple[SampleTable, SampleTable]:
    """Samples of a recipe's sets that are learned from, and those that are held out; rows that are none are listed.

    Raises:
        RecipeError: there are none to learn from.
        HimmelError: annotations are missing or damaged.
    """
    bad: list[Unusable] = []
    held: list[tuple[int, Sample]] = []
    holdout = HoldOut(0.0 if data.validation is None else data.validation.share, Path(data.folder).expanduser())

    def usable() -> Iterator[tuple[int, Sample]]:
        for number, spec in specs_of(data).items():
            for found in read_set(spec, seed=seed):
                if isinstance(found, Unusable):
                    bad.append(found)
                    # Each process meets every row.
                    if is_first():
                        skipped.add(Skipped(f"{found.file}#{found.row}", "row", found.why))
                    continue
                side = holdout.side(found)
                if side == "learned":
                    yield number, found
                elif side == "held":
                    held.append((number, found))

    table = SampleTable.of(usable())
    if not len(table) and held:
        raise RecipeError(
            f"data.validation.share holds out {by_number(len(held), 'the only sample', 'all {} samples')}, so that "
            "nothing is learned; lower it, or set data.validation=null."
        )
    if not len(table):
        why = f", the first because row {bad[0].row} of {bad[0].file!r} {bad[0].why}" if bad else ""
        raise RecipeError(
            f"data.sets have nothing to learn from: {by_number(len(bad), 'one row is', '{} rows are')} unusable{why}; "
            "give rows of video, question and answer."
        )
    return table, SampleTable.of(held)


def group_samples(table: SampleTable, data: DataSection, *, kinds: Sequence[Kind] = KINDS) -> list[Group]:
    """Samples by set and kind, with the weights of their sets."""
    return [
        Group(kind, rows, one.weight)
        for number, one in enumerate(data.sets)
        for kind in kinds
        if len(rows := table.rows_of(number, kind))
    ]


def distinct_videos(table: SampleTable) -> IntArray:
    """A row for each video, or part of one, that any sample is about."""
    seen: dict[str, int] = {}
    for row in np.flatnonzero(table.kinds == KINDS.index("video")):
        seen.setdefault(json.dumps(asdict(table[row].media[0])), int(row))
    return np.array(sorted(seen.values()), np.int64)


def estimate_tokens(table: SampleTable, config: HimmelConfig) -> IntArray:
    """About how many tokens each sample takes, int64 [n], known without opening what it shows."""
    of_picture = config.max_anchor_tokens
    of_video = config.num_anchors * (of_picture + config.motion_tokens)
    shown = np.where(table.kinds == KINDS.index("video"), of_video, table.pictures * of_picture)
    return (shown + table.letters // _LETTERS_PER_TOKEN).astype(np.int64)


def known_features(data: DataSection, model: HimmelForConditionalGeneration) -> FeatureStore | None:
    """What a recipe's cache has of this host's vision part; None if nothing.

    Raises:
        RecipeError: it has features of some of its videos alone.
    """
    sets = [] if data.cache is None else feature_sets(data.cache)
    if data.cache is None or not sets:
        return None
    mark = vision_mark(model.host, model.network, max_anchor_tokens=model.config.max_anchor_tokens)
    about = next((one for one in sets if one.mark == mark), None)
    if about is None:
        return None
    store, cache = FeatureStore(data.cache, about), StreamCache(data.cache)
    hashes = [sha256 for shard in cache.shards for sha256 in shard.hashes]
    lacking = sum(sha256 not in store for sha256 in hashes)
    if lacking:
        raise RecipeError(
            f"The cache {data.cache!r} has features of {about.host} for all but {lacking:,} of its {len(hashes):,} "
            f"videos; run `himmel prepare` with --features {about.host} once more."
        )
    return store


def make_reader(
    data: DataSection, config: HimmelConfig, *, last: bool, features: FeatureStore | None = None
) -> VideoReader:
    """Where videos come from.

    Raises:
        UsageError: there is no such cache.
        RecipeError: it was prepared in another way than the model wants.
    """
    reading = Reading.of(config)
    if data.cache is not None:
        folder = Path(data.folder).expanduser()
        return FromCache(StreamCache(data.cache), reading, folder=folder, last=last, features=features)
    limits = Limits(seconds=data.seconds_per_video, memory=data.megabytes_per_video * MEGABYTE)
    return ExtractNow(asdict(reading), last=last, limits=limits)
