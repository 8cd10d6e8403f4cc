"""What methods share that show frames to the host alone, and take tokens away between its tower and language model."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.hosts import Host
from himmel.methods.asking import Asking, ask_batch
from himmel.methods.decoding import Decoding
from himmel.methods.frames import FramesMethod
from himmel.methods.protocol import Reduced, Reply, Shown
from himmel.methods.question import Question
from himmel.methods.reduction.budget import KEEP, check_keep
from himmel.methods.reduction.prompts import cut_prompts, split_pictures
from himmel.methods.reduction.tokens import FrameTokens, Reduction
from himmel.methods.removed import NothingRemovedError, Removed
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.inputs import ModelInputs


@dataclass(frozen=True, kw_only=True)
class ReducingMethod(FramesMethod, ABC):
    """Frames as `dense` shows them, of whose tokens only some reach the language model, at their own positions.

    Args:
        num_frames, frame_mode: see `FramesMethod`.
        keep: share of the vision tokens that is kept, above 0 and up to 1, rounded down.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str]

    keep: float = KEEP

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep(self.keep)

    @abstractmethod
    def reduce(self, tokens: FrameTokens, shown: Shown) -> Reduction:
        """Choose among the vision tokens of one video's frames.

        Raises:
            UsageError: the method can't keep to the budget.
            HostError: the frames differ in a way that the method can't do with.
        """

    def asking(self, model: HostModel, processor: PromptEncoder) -> Asking:
        """See `Method.asking`."""
        return Asking(model, processor, reduce=partial(self.cut, host=model.host))

    def answer(
        self,
        model: HostModel,
        processor: PromptEncoder,
        shown: Sequence[Shown],
        questions: Sequence[Question],
        *,
        decodings: Sequence[Decoding],
    ) -> list[Reply]:
        """See `Method.answer`."""
        return ask_batch(self.asking(model, processor), shown, questions, decodings=decodings)

    def cut(
        self, inputs: ModelInputs, vision: BaseModelOutputWithPooling, shown: Sequence[Shown], *, host: Host
    ) -> Reduced:
        """See `Reducer`.

        Raises:
            NothingRemovedError: nothing would be removed.
        """
        grids = [tuple(host.image_grids(video.sample.images)) for video in shown]
        pictures = split_pictures(cast(Sequence[Tensor], vision.pooler_output), [len(one) for one in grids])
        reductions = [
            self.reduce(FrameTokens.of(part, grid), video)
            for part, grid, video in zip(pictures, grids, shown, strict=True)
        ]
        for reduction in reductions:
            total = len(reduction.into)
            if reduction.num_kept == total:
                raise NothingRemovedError(
                    f"{self.name} with keep={self.keep} removed none of {total} vision tokens; give a smaller keep or "
                    "more frames, or ask by the method 'dense'.",
                    Removed("tokens", total, total),
                )
        return cut_prompts(inputs, vision, reductions, host)
