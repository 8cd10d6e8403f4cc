"""Batches of a corpus for both stages; nothing here runs a network, so that a DataLoader's workers can make them."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from himmel.adapter import MotionAdapter
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor, PreparedSample, align_targets
from himmel.model.inputs import ModelInputs
from himmel.training.alignment import AlignmentModel
from himmel.training.batches import AlignmentCollator
from himmel.training.corpus.samples import Aligned, Shown


class ConversationCollator:
    """Batches for the language-modelling loss on answers; all samples of a batch show the same kind of thing.

    Args:
        processor: builds prompts.
    """

    def __init__(self, processor: HimmelProcessor) -> None:
        self._processor = processor

    def __call__(self, items: Sequence[Shown]) -> dict[str, ModelInputs]:
        """`inputs` of the model."""
        samples, turns = [item.sample for item in items], [item.turns for item in items]
        motion, anchors = items[0].motion, items[0].anchors
        return {"inputs": self._processor.encode(samples, turns, motion=motion, anchors=anchors)}


def collate_aligned(items: Sequence[Aligned]) -> dict[str, Any]:
    """Keyword arguments of `CorpusAlignment`."""
    known = [item.targets for item in items if item.targets is not None]
    return {
        "samples": [item.sample for item in items],
        "changes": torch.cat([item.changes for item in items]),
        # One reader gives all of them or none.
        "targets": torch.cat(known) if known else None,
    }


class CorpusAlignment(nn.Module):
    """Stage 1 on videos: unless a cache has what the host's tower sees in their anchors, it looks at each step.

    Args:
        learner: the loss.
        model: its host makes the targets, and is no part of what is trained here.
    """

    def __init__(self, learner: AlignmentModel, model: HimmelForConditionalGeneration) -> None:
        super().__init__()
        self.learner = learner
        # In a tuple, or the host would be taken for a part of this module.
        self._hosted = (model,)

    def release(self) -> MotionAdapter:
        """See `AlignmentModel.release`."""
        return self.learner.release()

    def forward(
        self, samples: Sequence[PreparedSample], changes: Tensor, targets: Tensor | None = None
    ) -> dict[str, Any]:
        """The loss of all intervals of some videos, see `AlignmentModel`.

        Args:
            samples: with far images, unless `targets` are given.
            changes: bool [M], intervals whose next anchor looks different; others have no target worth meeting.
            targets: float32 [M, D], where they are known.
        """
        model = self._hosted[0]
        device = next(self.learner.parameters()).device
        # The frozen tower computes in its own type, as it does where targets are known beforehand.
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            if targets is None:
                samples = [model.keep_features(sample) for sample in samples]
                targets = align_targets(model.host, model.network, samples)
            streams = AlignmentCollator.streams_of(samples).to(device)
        return cast(
            dict[str, Any],
            self.learner(
                motion=streams.motion,
                residual=streams.residual,
                context=streams.context,
                step_mask=streams.step_mask,
                targets=targets.to(device),
                valid=changes.to(device),
            ),
        )
