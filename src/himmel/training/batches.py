"""From stored clips to the batches of each stage; every draw follows from the recipe's seed and the item's number."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from himmel.adapter import StreamInputs
from himmel.errors import RecipeError
from himmel.hosts import Host
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor, PreparedSample
from himmel.model.inputs import ModelInputs
from himmel.model.sample import join_sound, pad_steps
from himmel.nano.kinds import MOTION_KINDS, STATIC_KINDS, Kind
from himmel.nano.questions import Question
from himmel.training.labels import LabelPictures, ask_for_name
from himmel.training.probes import caption_ids
from himmel.training.recipe import Stage2Section
from himmel.training.store import ClipStore, StoredClip
from himmel.training.targets import TargetStore

_NAMING: Final = ("mover", "first")
"""Kinds about motion whose options name what the pictures show."""
_MOTION_FIRST: Final = 0.7
_LABELLED_VIDEOS: Final = 0.25
"""Of the batches about labels show whole clips; the others one picture of each."""

_Way = Literal["usual", "blind", "still", "label", "labelled video"]


class DrawnClips(Dataset[tuple[int, int]]):
    """`length` items; item i is (i, a clip's seed), each pass over the seeds in a new order."""

    def __init__(self, seeds: Sequence[int], *, length: int, seed: int) -> None:
        self._seeds = np.asarray(seeds)
        self._length = length
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        turn, place = divmod(index, len(self._seeds))
        order = np.random.default_rng([self._seed, turn]).permutation(len(self._seeds))
        return index, int(self._seeds[order[place]])


class InstructCollator:
    """Batches for the language-modelling loss: clips with several of their questions, each asked as if alone.

    Args:
        store: of the clips.
        processor: builds prompts.
        questions_per_clip: at most so many questions of a clip; those about motion come first in most clips, since
            any clip has questions about what is still.
        seed: of the choice among them.
        asked_shares: see `Stage2Section`.
        shows: see `Stage2Section`.
        blind_share: share of the batches, 0..1, without the anchors' pictures; asked about motion alone, without names.
        still_share: share of the batches, 0..1, with one anchor of each clip alone, asked about what is still.
        label_share: share of the batches, 0..1, with `label_pictures` in place of a clip's anchors.
        label_pictures: where they come from; needed where `label_share` is above 0.
        sentence_share: see `Stage2Section`; the usual batches alone have sentences.
        together: items of a micro-step over all processes. They are shown in one way: where parameters are spread over
            processes, one that shows pictures would wait for the others to go through the host's tower with it.
    """

    def __init__(
        self,
        store: ClipStore,
        processor: HimmelProcessor,
        *,
        questions_per_clip: int,
        seed: int,
        asked_shares: Mapping[Kind, float] | None = None,
        shows: Literal["video", "anchors", "nothing"] = "video",
        blind_share: float = 0.0,
        still_share: float = 0.0,
        label_share: float = 0.0,
        label_pictures: LabelPictures | None = None,
        sentence_share: float = 0.0,
        together: int = 1,
    ) -> None:
        self._store = store
        self._processor = processor
        self._most = questions_per_clip
        self._seed = seed
        self._shares = asked_shares or {}
        self._shows = shows
        self._ways: dict[_Way, float] = {
            "blind": blind_share,
            "still": still_share,
            "label": (1 - _LABELLED_VIDEOS) * label_share,
            "labelled video": _LABELLED_VIDEOS * label_share,
        }
        self._label_pictures = label_pictures
        self._sentence_share = sentence_share
        self._together = together

    @classmethod
    def of(cls, section: Stage2Section, store: ClipStore, model: HimmelForConditionalGeneration) -> Self:
        """As a recipe's section says, for a model of the store's clips."""
        return cls(
            store,
            HimmelProcessor(model.config, model.host),
            questions_per_clip=section.questions_per_clip,
            seed=section.seed,
            asked_shares=section.asked_shares,
            shows=section.shows,
            blind_share=section.blind_share,
            still_share=section.still_share,
            label_share=section.label_share,
            label_pictures=LabelPictures.of(model) if section.label_share > 0 else None,
            sentence_share=section.sentence_share,
            together=section.optimizer.batch_size // section.optimizer.gradient_accumulation,
        )

    def __call__(self, items: Sequence[tuple[int, int]]) -> dict[str, ModelInputs]:
        """Items of `DrawnClips` to `inputs` of the model."""
        way = self._way(items[0][0] // self._together * self._together)
        samples: list[PreparedSample] = []
        turns: list[list[tuple[str, str | None]]] = []
        for index, seed in items:
            rng = np.random.default_rng([self._seed, index])
            clip = self._store.load(seed)
            asked = [one for one in clip.questions if _fits(one, clip, way)]
            chosen: list[tuple[str, str | None]] = [
                (one.text, one.choices[one.answer]) for one in _first(rng, self._drawn(rng, asked), self._most)
            ]
            if way == "usual" and clip.sentences and rng.random() < self._sentence_share:
                chosen.append(clip.sentences[int(rng.integers(len(clip.sentences)))])
            sample = _shown(clip, rng, way)
            if way in ("label", "labelled video"):
                sample, name = self._relabelled(sample, rng)
                chosen.append(ask_for_name(name, rng, video=way == "labelled video"))
            if chosen:
                samples.append(sample)
                turns.append(chosen)
        motion = self._shows == "video" and way not in ("still", "label")
        anchors = self._shows != "nothing" and way != "blind"
        made = self._processor.encode(samples, turns, motion=motion, anchors=anchors, independent=True)
        return {"inputs": made}

    def _way(self, step: int) -> _Way:
        """How the clips of the micro-step that begins with this item are shown."""
        left = np.random.default_rng([self._seed, step, 1]).random()
        for way, share in self._ways.items():
            if left < share:
                return way
            left -= share
        return "usual"

    def _relabelled(self, sample: PreparedSample, rng: np.random.Generator) -> tuple[PreparedSample, str]:
        """The sample with pictures of something else, which is named; the adapter sees what it saw."""
        assert self._label_pictures is not None
        features, name = self._label_pictures.draw(sample.images["tower_features"], rng)
        context = _context(sample) if sample.num_intervals else None
        return replace(sample, images={"tower_features": features}, context=context), name

    def _drawn(self, rng: np.random.Generator, asked: Sequence[Question]) -> list[Question]:
        """Of these questions, those whose kind's share asks them; one of them at least, so that no batch is empty."""
        kept = [one for one in asked if one.kind not in self._shares or rng.random() < self._shares[one.kind]]
        return kept or list(asked[:1])


def check_ways(section: Stage2Section) -> None:
    """Refuse shares of the ways to show clips that contradict each other, or what is shown.

    Raises:
        RecipeError: they are over 1 in all, or ask about pictures where nothing is shown.
    """
    shares = {name: getattr(section, name) for name in ("blind_share", "still_share", "label_share")}
    total = sum(shares.values())
    if total > 1 + 1e-9:
        said = ", ".join(f"stage2.{name} = {share}" for name, share in shares.items())
        raise RecipeError(f"{said} are {total:g} of the batches in all; lower them to 1 in all, or less.")
    for name in ("still_share", "label_share"):
        if shares[name] > 0 and section.shows == "nothing":
            raise RecipeError(
                f"stage2.{name} = {shares[name]} asks about pictures, and stage2.shows = 'nothing' leaves them out; "
                f"set {name} to 0."
            )


def check_shares(section: Stage2Section, model: HimmelForConditionalGeneration) -> None:
    """Refuse ways to show clips that need what the host doesn't have.

    Raises:
        RecipeError: single anchors are to be shown and the tower's features are not kept, or names of the classifier
            are to be asked for and there is none.
    """
    if section.still_share > 0 and model.host.tower_map is None:
        raise RecipeError(
            f"stage2.still_share = {section.still_share} needs the tower's features of single anchors, which are not "
            f"kept for the host {model.config.host!r}; set it to 0."
        )
    if section.label_share > 0 and LabelPictures.of(model) is None:
        raise RecipeError(
            f"stage2.label_share = {section.label_share} needs the classifier of nano's tower, which the host "
            f"{model.config.host!r} doesn't have; set it to 0."
        )


def _fits(question: Question, clip: StoredClip, way: _Way) -> bool:
    """Whether the clip's question can be answered from what is shown."""
    if way == "label":
        return False
    if way in ("blind", "labelled video"):
        return question.kind in MOTION_KINDS and question.kind not in _NAMING
    if way == "still":
        # Where something changes for good, one anchor does not tell what the others show.
        return question.kind in STATIC_KINDS and all(one.kind != "state" for one in clip.questions)
    return True


def _shown(clip: StoredClip, rng: np.random.Generator, way: _Way) -> PreparedSample:
    """What is put into the batch of a clip: all of it, or its streams without pictures, or a single anchor."""
    if way == "blind":
        return replace(clip.sample, context=_context(clip.sample))
    if way in ("usual", "labelled video"):
        return clip.sample
    features = clip.sample.images["tower_features"]
    # What drifts is where the questions say it is at the first anchor alone.
    place = int(rng.integers(len(features))) if clip.returns else 0
    return PreparedSample.of_pictures({"tower_features": features[place : place + 1]})


def _first(rng: np.random.Generator, asked: Sequence[Question], most: int) -> list[Question]:
    """At most so many of them in random order, in most clips those about motion first."""
    order = [asked[i] for i in rng.permutation(len(asked))]
    if rng.random() < _MOTION_FIRST:
        order.sort(key=lambda question: question.kind not in MOTION_KINDS)
    return order[:most]


class AlignmentCollator:
    """Batches for stage 1: streams, visual targets and probe targets of all intervals of some clips.

    All is read from files, so that workers can do it, and lies in the processor's memory.

    Args:
        store: of the clips.
        targets: of the same clips, filled.
        host: its tokenizer writes the probes' captions.
    """

    def __init__(self, store: ClipStore, targets: TargetStore, host: Host) -> None:
        self._store = store
        self._targets = targets
        self._host = host

    def __call__(self, items: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        """Items of `DrawnClips` to keyword arguments of `AlignmentModel`."""
        clips = [self._store.load(seed, pictures=False) for _, seed in items]
        streams = vars(self.streams_of([clip.sample for clip in clips]))
        return {
            **{name: stream for name, stream in streams.items() if stream is not None},
            "targets": torch.cat([self._targets.load(seed) for _, seed in items]),
            "valid": torch.cat([_moves_on(clip) for clip in clips]),
            "probe_values": torch.cat([clip.truth_values for clip in clips]),
            "probe_words": caption_ids(torch.cat([clip.truth_classes for clip in clips]), self._host),
        }

    @staticmethod
    def streams_of(samples: Sequence[PreparedSample]) -> StreamInputs:
        """The streams of these samples, one after another."""
        return StreamInputs(
            motion=pad_steps([sample.motion for sample in samples]).float(),
            residual=pad_steps([sample.residual for sample in samples]).float(),
            context=torch.cat([_context(sample) for sample in samples]).float(),
            step_mask=pad_steps([sample.step_mask for sample in samples]),
            sound=join_sound(samples),
        )


def _context(sample: PreparedSample) -> Tensor:
    return sample.images["tower_features"] if sample.context is None else sample.context


def _moves_on(clip: StoredClip) -> Tensor:
    """bool [N]: whether something moved for good, so that the next anchor shows it."""
    return (clip.truth_values != 0).any(1) & (not clip.returns)
