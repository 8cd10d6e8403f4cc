"""Prompts in, replies out: generation and the scoring of options, as all methods share them."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from traceback import clear_frames

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.choices import Scoring
from himmel.methods.decoding import Decoding
from himmel.methods.generation import Generation, ReadPrompts, Row
from himmel.methods.prefixes import Prefix, join_prefixes
from himmel.methods.protocol import Reducer, Reply, Shown
from himmel.methods.question import Question
from himmel.methods.removed import Removed
from himmel.methods.seen import join_vision
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.inputs import ChoiceInputs, ModelInputs
from himmel.model.scoring import count_bytes, count_tokens, weigh


@dataclass(frozen=True, eq=False)
class _Pending:
    """A question on its way.

    Attributes:
        shown, question, decoding: as `Asking.join` was given them.
        ids: int64 [P], the prompt's; without its last token where options are scored, which that token begins.
        motion: whether motion tokens are in it.
    """

    shown: Shown
    question: Question
    decoding: Decoding
    ids: Tensor
    motion: bool

    @property
    def kind(self) -> tuple[bool, bool]:
        """Those of a kind can be read together."""
        return bool(self.question.choices), self.motion


@dataclass(frozen=True, eq=False)
class _Writing:
    """An answer that is being written."""

    pending: _Pending
    row: Row
    removed: Removed | None
    cached: int


class Asking:
    """Questions of one method, answered together by a model; more may join at any time, and each ends by itself.

    Args:
        model: what is asked.
        processor: what builds its prompts.
        motion: whether the prompt holds the motion tokens of videos that have any.
        reduce: takes some of the pictures' tokens away before the language model.
    """

    def __init__(
        self, model: HostModel, processor: PromptEncoder, *, motion: bool = False, reduce: Reducer | None = None
    ) -> None:
        self._model, self._processor, self._motion, self._reduce = model, processor, motion, reduce
        self._generation = Generation(model)
        self._waiting: dict[int, _Pending] = {}
        self._writing: dict[int, _Writing] = {}
        self._number = 0
        # A processor computes prompts no faster together, and the first answer would wait for the last prompt.
        self._most = 1 if model.device.type == "cpu" else None

    @property
    def count(self) -> int:
        """Questions that have no reply yet."""
        return len(self._waiting) + len(self._writing)

    def join(self, shown: Shown, question: Question, decoding: Decoding) -> int:
        """Ask one more question; returns the number by which `step` names it.

        Args:
            shown: the video.
            question: what is asked of it.
            decoding: how an answer in the model's own words is made; not used for a question with options.

        Raises:
            UsageError: the question or an earlier turn is empty.
        """
        motion = self._motion and shown.sample.num_intervals > 0
        ids = self._processor.prompt_ids(shown.sample, shown.turns(question), motion=motion)
        self._number += 1
        ids = ids[:-1] if question.choices else ids
        self._waiting[self._number] = _Pending(shown, question, decoding, ids, motion)
        return self._number

    def step(self) -> dict[int, Reply | Exception]:
        """Read prompts that wait, some at a time, and write one more token of each answer.

        Returns:
            Replies, and errors that concern one question alone, by number; of those that ended with this step.

        Raises:
            Exception: no answer that is being written can go on.
        """
        group, known = self._next_group()
        outcomes = self._begin(group, known) if group else {}
        self._generation.step()
        for number, writing in list(self._writing.items()):
            if writing.row.done:
                del self._writing[number]
                outcomes[number] = self._finish(writing)
        return outcomes

    def drop(self, number: int) -> bool:
        """Give a question up, if nothing was done for it yet; returns whether that was so."""
        return self._waiting.pop(number, None) is not None

    def _next_group(self) -> tuple[dict[int, _Pending], list[tuple[Prefix, int]]]:
        """Questions to be read together, and what is known of their prompts: of all of them, or of none."""
        group: dict[int, _Pending] = {}
        known: list[tuple[Prefix, int]] = []
        keys = set()
        for number, one in self._waiting.items():
            prefix = self._known(one)
            first = next(iter(group.values()), one)
            if one.kind != first.kind or (group and (prefix is None) == bool(known)):
                continue
            if prefix is not None:
                known.append(prefix)
            elif len(group) == self._most or one.shown.past.key in keys:
                # The second question about a video begins where the first is read.
                continue
            elif one.shown.past.key is not None and self._reduce is None:
                keys.add(one.shown.past.key)
            group[number] = one
        for number in group:
            del self._waiting[number]
        return group, known

    def _known(self, pending: _Pending) -> tuple[Prefix, int] | None:
        """What was read of a prompt before, and how much of it; all pictures and motion are in it."""
        prefix = None if self._reduce is not None else pending.shown.past.find()
        if prefix is None:
            return None
        # One token at least is to be read, as it predicts the next.
        last = len(pending.ids) - (0 if pending.question.choices else 1)
        length = min(prefix.shared(pending.ids), last)
        rest, host = pending.ids[length:], self._model.host
        if not length or bool(((rest == host.image_token_id) | (rest == host.motion_token_id)).any()):
            return None
        return prefix, length

    def _begin(self, group: dict[int, _Pending], known: list[tuple[Prefix, int]]) -> dict[int, Reply | Exception]:
        """Read the prompts of a group; where that fails, one by one, so that each fails for itself alone."""
        asked = list(group.values())
        try:
            if asked[0].question.choices:
                return dict(zip(group, self._score(asked, known), strict=True))
            self._writing |= dict(zip(group, self._start(asked, known), strict=True))
        except Exception as error:
            # What failed would hold memory of a device that the others need.
            clear_frames(error.__traceback__)
            if len(group) == 1:
                return {next(iter(group)): error}
            outcomes: dict[int, Reply | Exception] = {}
            for place, (number, one) in enumerate(group.items()):
                outcomes |= self._begin({number: one}, known[place : place + 1])
            return outcomes
        return {}

    def _start(self, asked: Sequence[_Pending], known: Sequence[tuple[Prefix, int]]) -> list[_Writing]:
        shown = [one.shown for one in asked]
        inputs = self._processor.encode(
            [video.sample for video in shown],
            [video.turns(one.question) for video, one in zip(shown, asked, strict=True)],
            motion=asked[0].motion,
            read=bool(known),
        )
        vision = None if known else _see(self._model, inputs, shown)
        removed: tuple[Removed | None, ...] = (None,) * len(shown)
        if self._reduce is not None and vision is not None:
            reduced = self._reduce(inputs, vision, shown)
            inputs, vision, removed = reduced.inputs, reduced.vision, reduced.removed
        read = ReadPrompts.read(self._model, inputs, vision=vision, prefixes=known)
        if self._reduce is None:
            for row, one in enumerate(asked):
                one.shown.past.keep(one.ids, read.cache, row, read.columns(row))
        rows = self._generation.join(read, [one.ids for one in asked], [one.decoding for one in asked])
        lengths = [length for _, length in known] or [0] * len(asked)
        return [_Writing(*one) for one in zip(asked, rows, removed, lengths, strict=True)]

    def _finish(self, writing: _Writing) -> Reply:
        steps = writing.row.steps
        return self._reply(
            writing.pending,
            removed=writing.removed,
            cached=writing.cached,
            text=self._processor.decode(torch.tensor(steps.ids[0], dtype=torch.long)),
            first_token=steps.first_token,
        )

    def _score(self, asked: Sequence[_Pending], known: Sequence[tuple[Prefix, int]]) -> list[Reply]:
        shown, questions = [one.shown for one in asked], [one.question for one in asked]
        inputs = self._processor.encode_choices(
            [video.sample for video in shown],
            [[(video.ask(question), question.targets)] for video, question in zip(shown, questions, strict=True)],
            motion=asked[0].motion,
            read=bool(known),
        )
        vision = None if known else _see(self._model, inputs.inputs, shown)
        removed: tuple[Removed | None, ...] = (None,) * len(shown)
        if self._reduce is not None and vision is not None:
            reduced = self._reduce(inputs.inputs, vision, shown)
            index = inputs.index.gather(1, reduced.columns.clamp(min=0)).masked_fill(reduced.columns < 0, -1)
            inputs = replace(inputs, inputs=reduced.inputs, index=index)
            vision, removed = reduced.vision, reduced.removed
        likelihoods = self._likelihoods(asked, inputs, vision, known)
        first_token = time.perf_counter()
        blind = blind_likelihoods(self._model, self._processor, shown, questions)
        scores = weigh_options(self._model, questions, likelihoods, inputs, blind)
        lengths = [length for _, length in known] or [0] * len(asked)
        return [
            self._reply(one, removed=gone, cached=length, likelihoods=own, scores=score, first_token=first_token)
            for one, gone, length, own, score in zip(asked, removed, lengths, likelihoods, scores, strict=True)
        ]

    def _likelihoods(
        self,
        asked: Sequence[_Pending],
        inputs: ChoiceInputs,
        vision: BaseModelOutputWithPooling | None,
        known: Sequence[tuple[Prefix, int]],
    ) -> list[Tensor]:
        """Of each question's options [C]; what was read is kept for the next question."""
        real = inputs.inputs.real
        lengths = [length for _, length in known]
        cache = join_prefixes([prefix for prefix, _ in known], lengths) if known else None
        if cache is not None:
            inputs = inputs.after(lengths)
        elif self._reduce is None and any(one.shown.past.key is not None for one in asked):
            cache = DynamicCache()
        found = [row[0] for row in self._model.score_choices(inputs, vision=vision, cache=cache)]
        if cache is not None and not known:
            for row, one in enumerate(asked):
                one.shown.past.keep(one.ids, cache, row, real[row].nonzero()[:, 0])
        return found

    def _reply(
        self,
        pending: _Pending,
        *,
        removed: Removed | None,
        cached: int,
        first_token: float,
        text: str = "",
        likelihoods: Tensor | None = None,
        scores: Tensor | None = None,
    ) -> Reply:
        video, question = pending.shown, pending.question
        ids = pending.ids
        if question.choices:
            ids = self._processor.prompt_ids(video.sample, video.turns(question), motion=pending.motion)
        tokens = self._processor.count_ids(ids)
        if removed is not None and removed.unit == "tokens":
            tokens["image"] -= removed.before - removed.after
        return Reply(
            text=text,
            likelihoods=() if likelihoods is None else tuple(likelihoods.tolist()),
            scores=() if scores is None else tuple(scores.tolist()),
            tokens=tokens,
            prompt_sha256=hash_ids(ids),
            first_token=first_token,
            removed=removed,
            cached=cached,
        )


def ask_batch(
    asking: Asking, shown: Sequence[Shown], questions: Sequence[Question], *, decodings: Sequence[Decoding]
) -> list[Reply]:
    """Ask one question about each of B videos, together as far as they can be.

    Args:
        asking: of the method; nothing waits in it.
        shown, questions, decodings: see `Method.answer`.

    Raises:
        UsageError, HostError: as `Method.answer`.
    """
    numbers = [asking.join(*one) for one in zip(shown, questions, decodings, strict=True)]
    replies: dict[int, Reply] = {}
    while asking.count:
        for number, outcome in asking.step().items():
            if isinstance(outcome, Exception):
                raise outcome
            replies[number] = outcome
    return [replies[number] for number in numbers]


def _see(model: HostModel, inputs: ModelInputs, shown: Sequence[Shown]) -> BaseModelOutputWithPooling | None:
    """What the model sees of the pictures in a batch; it does not look where it has looked before."""
    seen = [video.vision for video in shown if video.sample.images]
    known = [one for one in seen if one is not None]
    return join_vision(known, model.host) if known and len(known) == len(seen) else model.see(inputs.images)


def scoring_of(question: Question, model: HostModel) -> Scoring:
    """How a question's options are compared by this model."""
    return question.scoring or model.host.scoring


def blind_likelihoods(
    model: HostModel, processor: PromptEncoder, shown: Sequence[Shown], questions: Sequence[Question]
) -> list[Tensor | None]:
    """Log-likelihoods [C] of the options of each question asked without the video, where its scoring needs them."""
    wanting = [k for k, question in enumerate(questions) if scoring_of(question, model) == "prior"]
    found: list[Tensor | None] = [None] * len(questions)
    if wanting:
        asked = processor.encode_choices(
            [shown[k].sample for k in wanting],
            [[(shown[k].ask_blind(questions[k]), questions[k].targets)] for k in wanting],
            motion=False,
            anchors=False,
        )
        for k, row in zip(wanting, model.score_choices(asked), strict=True):
            found[k] = row[0]
    return found


def weigh_options(
    model: HostModel,
    questions: Sequence[Question],
    likelihoods: Sequence[Tensor],
    asked: ChoiceInputs,
    blind: Sequence[Tensor | None],
) -> list[Tensor]:
    """What each question's options [C] are compared by, see `weigh`."""
    tokens, sizes = count_tokens(asked), count_bytes(asked)
    return [
        weigh(own, scoring=scoring_of(question, model), tokens=tokens[k][0], sizes=sizes[k][0], blind=blind[k])
        for k, (question, own) in enumerate(zip(questions, likelihoods, strict=True))
    ]


def hash_ids(ids: Tensor) -> str:
    """Hash of token ids [L] as little-endian 64-bit integers."""
    return hashlib.sha256(ids.numpy().astype("<i8").tobytes()).hexdigest()
