"""Prompts in, replies out: generation and the scoring of options, as all methods share them."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, StoppingCriteriaList
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.methods.decoding import ChooseTokens, Decoding, Steps, StopRows, end_ids
from himmel.methods.protocol import Reducer, Reply, Shown
from himmel.methods.question import Question
from himmel.methods.removed import Removed
from himmel.methods.seen import join_vision
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.inputs import ChoiceInputs, ModelInputs
from himmel.model.scoring import count_bytes, count_tokens, weigh


def ask_batch(
    model: HostModel,
    processor: PromptEncoder,
    shown: Sequence[Shown],
    questions: Sequence[Question],
    *,
    decodings: Sequence[Decoding],
    motion: bool = False,
    reduce: Reducer | None = None,
) -> list[Reply]:
    """Ask one question about each video: those with options in one batch, and the others in another.

    Args:
        model: what is asked.
        processor: what builds its prompts.
        shown: B videos.
        questions: B questions.
        decodings: B ways to make an answer in the model's own words; not used for questions with options.
        motion: whether the prompt holds the motion tokens of videos that have any.
        reduce: takes some of the pictures' tokens away before the language model.

    Raises:
        UsageError, HostError: as `Method.answer`.
    """
    replies: dict[int, Reply] = {}
    for group in _alike(shown, questions, motion):
        part = [shown[k] for k in group], [questions[k] for k in group]
        with_motion = motion and part[0][0].sample.num_intervals > 0
        if part[1][0].choices:
            found = _score(model, processor, *part, motion=with_motion, reduce=reduce)
        else:
            own = [decodings[k] for k in group]
            found = _continue(model, processor, *part, own, motion=with_motion, reduce=reduce)
        replies |= dict(zip(group, found, strict=True))
    return [replies[k] for k in range(len(shown))]


def _alike(shown: Sequence[Shown], questions: Sequence[Question], motion: bool) -> list[list[int]]:
    """Places of those that can go into one batch: with options or without, with motion tokens or without."""
    groups: dict[tuple[bool, bool], list[int]] = {}
    for place, (video, question) in enumerate(zip(shown, questions, strict=True)):
        kind = bool(question.choices), motion and video.sample.num_intervals > 0
        groups.setdefault(kind, []).append(place)
    return list(groups.values())


def _continue(
    model: HostModel,
    processor: PromptEncoder,
    shown: Sequence[Shown],
    questions: Sequence[Question],
    decodings: Sequence[Decoding],
    *,
    motion: bool,
    reduce: Reducer | None,
) -> list[Reply]:
    asked = [video.turns(question) for video, question in zip(shown, questions, strict=True)]
    inputs = processor.encode([video.sample for video in shown], asked, motion=motion)
    vision = _see(model, inputs, shown)
    removed: tuple[Removed | None, ...] = (None,) * len(shown)
    if reduce is not None and vision is not None:
        reduced = reduce(inputs, vision, shown)
        inputs, vision, removed = reduced.inputs, reduced.vision, reduced.removed
    steps = Steps(decodings, end_ids(model.network))
    options: dict[str, Any] = {"stopping_criteria": StoppingCriteriaList([StopRows(steps)])}
    if steps.reads_scores:
        options["logits_processor"] = LogitsProcessorList([ChooseTokens(steps)])
    model.generate(inputs, vision=vision, max_new_tokens=steps.most, do_sample=False, **options)
    texts = [processor.decode(torch.tensor(row, dtype=torch.long)) for row in steps.ids]
    return [
        _reply(processor, video, question, motion=motion, removed=gone, text=text, first_token=steps.first_token)
        for video, question, gone, text in zip(shown, questions, removed, texts, strict=True)
    ]


def _see(model: HostModel, inputs: ModelInputs, shown: Sequence[Shown]) -> BaseModelOutputWithPooling | None:
    """What the model sees of the pictures in a batch; it does not look where it has looked before."""
    seen = [video.vision for video in shown if video.sample.images]
    known = [one for one in seen if one is not None]
    return join_vision(known, model.host) if known and len(known) == len(seen) else model.see(inputs.images)


def _score(
    model: HostModel,
    processor: PromptEncoder,
    shown: Sequence[Shown],
    questions: Sequence[Question],
    *,
    motion: bool,
    reduce: Reducer | None,
) -> list[Reply]:
    pairs = list(zip(shown, questions, strict=True))
    samples = [video.sample for video in shown]
    asked = processor.encode_choices(
        samples, [[(video.ask(question), question.targets)] for video, question in pairs], motion=motion
    )
    vision = _see(model, asked.inputs, shown)
    removed: tuple[Removed | None, ...] = (None,) * len(shown)
    if reduce is not None and vision is not None:
        reduced = reduce(asked.inputs, vision, shown)
        index = asked.index.gather(1, reduced.columns.clamp(min=0)).masked_fill(reduced.columns < 0, -1)
        asked = replace(asked, inputs=reduced.inputs, index=index)
        vision, removed = reduced.vision, reduced.removed
    likelihoods = [row[0] for row in model.score_choices(asked, vision=vision)]
    first_token = time.perf_counter()
    blind = blind_likelihoods(model, processor, shown, questions)
    scores = weigh_options(questions, likelihoods, asked, blind)
    return [
        _reply(
            processor,
            video,
            question,
            motion=motion,
            removed=gone,
            likelihoods=own,
            scores=score,
            first_token=first_token,
        )
        for (video, question), gone, own, score in zip(pairs, removed, likelihoods, scores, strict=True)
    ]


def blind_likelihoods(
    model: HostModel, processor: PromptEncoder, shown: Sequence[Shown], questions: Sequence[Question]
) -> list[Tensor | None]:
    """Log-likelihoods [C] of the options of each question asked without the video, where its scoring needs them."""
    wanting = [k for k, question in enumerate(questions) if question.scoring == "prior"]
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
    questions: Sequence[Question],
    likelihoods: Sequence[Tensor],
    asked: ChoiceInputs,
    blind: Sequence[Tensor | None],
) -> list[Tensor]:
    """What each question's options [C] are compared by, see `weigh`."""
    tokens, sizes = count_tokens(asked), count_bytes(asked)
    return [
        weigh(own, scoring=question.scoring, tokens=tokens[k][0], sizes=sizes[k][0], blind=blind[k])
        for k, (question, own) in enumerate(zip(questions, likelihoods, strict=True))
    ]


def _reply(
    processor: PromptEncoder,
    video: Shown,
    question: Question,
    *,
    motion: bool,
    removed: Removed | None,
    first_token: float,
    text: str = "",
    likelihoods: Tensor | None = None,
    scores: Tensor | None = None,
) -> Reply:
    ids = processor.prompt_ids(video.sample, video.turns(question), motion=motion)
    tokens = processor.count_ids(ids)
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
    )


def hash_ids(ids: Tensor) -> str:
    """Hash of token ids [L] as little-endian 64-bit integers."""
    return hashlib.sha256(ids.numpy().astype("<i8").tobytes()).hexdigest()
