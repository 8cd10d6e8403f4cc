"""From pictures and conversations to the model's inputs: what every host takes, with or without an adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from himmel._checks import check_question
from himmel.errors import PromptTooLongError, UsageError
from himmel.hosts import Host, PositionScheme, Run
from himmel.model.inputs import ChoiceInputs, ModelInputs, MotionInputs
from himmel.model.placement import Placement, place
from himmel.model.prompt import IGNORED, Branch, LaidOut, PromptTree, count_positions, lay_out
from himmel.model.sample import PreparedSample

Conversation = Sequence[tuple[str, str | None]]
Questions = Sequence[tuple[str, Sequence[str]]]
TokenCounts = dict[Literal["text", "image", "motion"], int]


class PromptEncoder:
    """Builds prompts of pictures and text for one host; holds no weights. `HimmelProcessor` adds motion tokens.

    Args:
        host: what the prompts are for.
        position_scheme: see `HimmelConfig`; None for the one that suits the host.
    """

    def __init__(self, host: Host, *, position_scheme: PositionScheme | None = None) -> None:
        self.host = host
        self.position_scheme: PositionScheme = position_scheme or host.position_scheme

    def ask_about(self, visual: Placement, turns: Conversation) -> tuple[Run, ...]:
        """The whole prompt of a conversation.

        Raises:
            UsageError: a question or an answer is empty, or an answer is missing before the last turn.
        """
        return self._conversation_tree(visual.runs, turns, independent=False).prefix

    def prompt_ids(self, sample: PreparedSample, turns: Conversation, *, motion: bool = True) -> Tensor:
        """Ids of a conversation's prompt, int64 [L], as `encode` would make it; pictures are not touched.

        Raises:
            UsageError: as `ask_about`.
        """
        runs = self.ask_about(self.place_sample(sample, motion=motion, anchors=True), turns)
        return torch.tensor([number for run in runs for number in run.ids])

    def lengths_by_turn(
        self, sample: PreparedSample, turns: Conversation, *, motion: bool = True, anchors: bool = True
    ) -> list[int]:
        """Tokens of a conversation up to the end of each of its answers, as `encode` would make it.

        Raises:
            UsageError: a question or an answer is empty.
        """
        visual = self.place_sample(sample, motion=motion, anchors=anchors)
        lengths, total = [], 0
        for run in self._conversation_tree(visual.runs, turns, independent=False).prefix:
            total += len(run.ids)
            if run.target:
                lengths.append(total)
        return lengths

    def encode(
        self,
        samples: Sequence[PreparedSample],
        conversations: Sequence[Conversation],
        *,
        motion: bool = True,
        anchors: bool = True,
        independent: bool = False,
        read: bool = False,
    ) -> ModelInputs:
        """Build a batch.

        Args:
            samples: B prepared videos.
            conversations: for each, question and answer of every turn; the last answer may be None, which makes a
                prompt for generation.
            motion: whether the prompt holds motion tokens.
            anchors: whether it holds the anchors' pictures; without both, the question is asked blind.
            independent: whether every turn sees the video alone, not the turns before it (for packed training: as if
                each question was asked by itself).
            read: whether the model has read pictures and streams before, so that they are left out of the inputs.

        Returns:
            What the model takes. It has labels where any answer is given.

        Raises:
            UsageError: a question is empty, an answer is missing before the last turn, or the numbers don't agree.
        """
        pairs = self._pairs(samples, conversations)
        placed = [self.place_sample(sample, motion=motion, anchors=anchors) for sample in samples]
        trees = [
            self._conversation_tree(visual.runs, turns, independent)
            for visual, (_, turns) in zip(placed, pairs, strict=True)
        ]
        batch = self._join(trees)
        return self._inputs(batch, samples, placed, motion=motion and not read, anchors=anchors and not read)

    def encode_choices(
        self,
        samples: Sequence[PreparedSample],
        questions: Sequence[Questions],
        *,
        motion: bool = True,
        anchors: bool = True,
        read: bool = False,
    ) -> ChoiceInputs:
        """Build a batch for `score_choices`: each video is read once for all its questions and their options.

        Args:
            samples: B prepared videos.
            questions: for each, questions with their options.
            motion, anchors, read: see `encode`.

        Returns:
            What `score_choices` takes.

        Raises:
            UsageError: a question or an option is empty, or the numbers don't agree.
        """
        pairs = self._pairs(samples, questions)
        placed = [self.place_sample(sample, motion=motion, anchors=anchors) for sample in samples]
        trees = [self._choice_tree(visual.runs, asked) for visual, (_, asked) in zip(placed, pairs, strict=True)]
        batch = self._join(trees)
        return ChoiceInputs(
            inputs=self._inputs(batch, samples, placed, motion=motion and not read, anchors=anchors and not read),
            index=_number_choices(batch.labels, batch.owner),
            sizes=tuple(
                tuple(tuple(len(option.strip().encode()) for option in options) for _, options in asked)
                for asked in questions
            ),
        )

    def count_tokens(self, inputs: ModelInputs) -> TokenCounts:
        """Prompt tokens by kind, over a whole batch; padding is not counted."""
        return self.count_ids(inputs.input_ids[inputs.real])

    def count_ids(self, ids: Tensor) -> TokenCounts:
        """Token ids by kind."""
        image = int((ids == self.host.image_token_id).sum())
        motion = int((ids == self.host.motion_token_id).sum())
        return {"text": ids.numel() - image - motion, "image": image, "motion": motion}

    def decode(self, ids: Tensor) -> str:
        """Text of generated token ids [L], without special tokens and outer blanks."""
        return self.host.decode_text(ids).strip()

    def _pairs(self, samples: Sequence[PreparedSample], texts: Sequence[Any]) -> list[tuple[PreparedSample, Any]]:
        if not samples or len(samples) != len(texts):
            raise UsageError(f"{len(samples)} videos came with {len(texts)} conversations; give one for each video.")
        return list(zip(samples, texts, strict=True))

    def place_sample(self, sample: PreparedSample, *, motion: bool, anchors: bool) -> Placement:
        """The visual part of a video's prompt; `HimmelProcessor` adds motion tokens.

        Args:
            sample: one prepared video.
            motion, anchors: see `encode`.
        """
        del motion
        grids = self.host.image_grids(sample.images) if anchors and sample.images else []
        pictures = [self.host.anchor_runs(grid) for grid in grids]
        return place(pictures, 0, placement="per_anchor", tokens=1, token_id=self.host.motion_token_id)

    def _prompt(self, question: str) -> Run:
        check_question(question)
        return Run("text", (*self.host.encode_text(question.strip()), *self.host.chat.reply))

    def _answer(self, text: str) -> Run:
        if not text.strip():
            raise UsageError("An answer or option is empty; give a text for each.")
        return Run("text", (*self.host.encode_text(text.strip()), self.host.chat.end), target=True)

    def _conversation_tree(self, visual: Sequence[Run], turns: Conversation, independent: bool) -> PromptTree:
        if any(answer is None for _, answer in turns[:-1]) or not turns:
            raise UsageError(
                f"A conversation of {len(turns)} turns lacks an answer before the last turn; only the last turn may "
                "be without one."
            )
        exchanges = [
            [self._prompt(question), *([] if answer is None else [self._answer(answer)])] for question, answer in turns
        ]
        prefix = [Run("text", self.host.chat.head), *visual]
        if independent:
            return PromptTree(tuple(prefix), tuple(Branch(tuple(runs)) for runs in exchanges))
        # The end-of-turn token already closes the answer, so only the rest of `follow` leads to the next question.
        for index, runs in enumerate(exchanges):
            prefix += [*([Run("text", self.host.chat.follow[1:])] if index else []), *runs]
        return PromptTree(tuple(prefix))

    def _choice_tree(self, visual: Sequence[Run], asked: Questions) -> PromptTree:
        branches: list[Branch] = []
        for question, options in asked:
            # The prompt's last token comes before every option: each then predicts its first token itself.
            prompt = self._prompt(question).ids
            parent = len(branches)
            branches.append(Branch((Run("text", prompt[:-1]),)))
            opening = Run("text", prompt[-1:])
            branches += [Branch((opening, self._answer(option)), parent=parent) for option in options]
        return PromptTree((Run("text", self.host.chat.head), *visual), tuple(branches))

    def _join(self, trees: Sequence[PromptTree]) -> "PromptBatch":
        """Lay out trees and pad them on the left.

        A mask of L x L goes with them only where a tree has branches that don't see each other: at 10,000 tokens it
        takes 100 MB a prompt, and shuts out attention that takes no mask (flash attention).

        Raises:
            PromptTooLongError: a prompt is longer than the host was made for.
        """
        self._check_room(max(count_positions(tree, self.host, scheme=self.position_scheme) for tree in trees))
        laid = [lay_out(tree, self.host, scheme=self.position_scheme) for tree in trees]
        length = max(len(item.ids) for item in laid)
        branched = any(item.branched for item in laid)
        pad_id = cast(int, self.host.tokenizer.pad_token_id)
        positions = torch.stack([_pad(item.positions, length, 0) for item in laid], dim=1)
        order = torch.stack([_pad(item.order, length, 0) for item in laid])
        return PromptBatch(
            input_ids=torch.stack([_pad(item.ids, length, pad_id) for item in laid]),
            attention_mask=torch.stack([_attention(item, length, branched=branched) for item in laid]),
            position_ids=self.host.batch_positions(positions, order),
            labels=torch.stack([_pad(item.labels, length, IGNORED) for item in laid]),
            owner=torch.stack([_pad(item.owner, length, -1) for item in laid]),
        )

    def _check_room(self, positions: int) -> None:
        if positions > self.host.context_length:
            raise PromptTooLongError(
                f"The prompt takes {positions:,} positions and the host {self.host.name!r} has "
                f"{self.host.context_length:,}; ask a shorter question, or with fewer anchors or motion tokens."
            )

    def _inputs(
        self,
        batch: "PromptBatch",
        samples: Sequence[PreparedSample],
        placed: Sequence[Placement],
        *,
        motion: bool,
        anchors: bool,
    ) -> ModelInputs:
        """The prompts with their pictures and streams."""
        answered = bool((batch.labels != IGNORED).any())
        pictures = [sample.images for sample in samples if sample.images] if anchors else []
        return ModelInputs(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            labels=batch.labels if answered else None,
            images=self.host.join_images(pictures) if pictures else {},
            motion=self._motion_inputs(samples, placed, anchors=anchors) if motion else None,
        )

    def _motion_inputs(
        self, samples: Sequence[PreparedSample], placed: Sequence[Placement], *, anchors: bool
    ) -> MotionInputs | None:
        del samples, placed, anchors
        return None


@dataclass(frozen=True, kw_only=True)
class PromptBatch:
    """Prompts laid out and padded; `owner`, int64 [B, L], is each token's branch, -1 for prefix and padding."""

    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    labels: Tensor
    owner: Tensor


def _pad(values: Tensor, length: int, filler: int) -> Tensor:
    return torch.nn.functional.pad(values, (length - values.shape[-1], 0), value=filler)


def _attention(item: LaidOut, length: int, *, branched: bool) -> Tensor:
    missing = length - len(item.ids)
    if not branched:
        return _pad(torch.ones_like(item.ids), length, 0)
    # Padding sees itself: a row of attention without any column would not be a number.
    mask = torch.eye(length, dtype=torch.bool)
    mask[missing:, missing:] = item.visible()
    return mask[None]


def _number_choices(labels: Tensor, owner: Tensor) -> Tensor:
    """[B, L]: number of the option that each labelled token belongs to, counted through the batch; else -1."""
    keys = torch.arange(len(owner))[:, None] * (owner.max() + 1) + owner
    chosen = labels != IGNORED
    numbered = torch.full_like(labels, -1)
    numbered[chosen] = torch.unique(keys[chosen], return_inverse=True)[1]
    return numbered
