"""A prompt in pieces that are read one after another."""

from dataclasses import dataclass

import torch
from torch import Tensor

from himmel.errors import PromptTooLongError
from himmel.hosts import Host, Run
from himmel.methods.cached.memory import Segment
from himmel.model.encoder import Conversation, PromptEncoder
from himmel.model.placement import place
from himmel.model.sample import PreparedSample


@dataclass(frozen=True)
class PromptParts:
    """The runs of one conversation about one video, up to its last question.

    Attributes:
        head: up to the first picture.
        pictures: of each picture, with its markers.
        tail: the questions and answers, up to the last answer.
    """

    head: tuple[Run, ...]
    pictures: tuple[tuple[Run, ...], ...]
    tail: tuple[Run, ...]

    @classmethod
    def of(cls, processor: PromptEncoder, sample: PreparedSample, turns: Conversation) -> "PromptParts":
        """What `processor.encode` would make one sequence of.

        Raises:
            UsageError: a question or an answer is empty.
        """
        host = processor.host
        pictures = [tuple(host.anchor_runs(grid)) for grid in host.image_grids(sample.images)]
        nothing = place([], 0, placement="per_anchor", tokens=1, token_id=host.motion_token_id)
        head, *tail = processor.ask_about(nothing, turns)
        return cls((head,), tuple(pictures), tuple(tail))

    @property
    def whole(self) -> tuple[Run, ...]:
        """All runs in order."""
        return (*self.head, *(run for picture in self.pictures for run in picture), *self.tail)

    @property
    def text(self) -> Tensor:
        """bool [L], which tokens of `whole` are text; the markers of a picture are part of the picture."""
        pictures = [run for picture in self.pictures for run in picture]
        kinds = [(self.head, True), (pictures, False), (self.tail, True)]
        return torch.cat([torch.full((sum(len(run.ids) for run in runs),), said) for runs, said in kinds])


def check_room(host: Host, segment: Segment) -> Segment:
    """The segment, which ends within the host's positions.

    Raises:
        PromptTooLongError: it doesn't.
    """
    if segment.end > host.context_length:
        raise PromptTooLongError(
            f"The prompt takes {segment.end:,} positions and the host {host.name!r} has {host.context_length:,}; "
            "ask a shorter question, or with fewer frames."
        )
    return segment
