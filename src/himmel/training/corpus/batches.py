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
from himmel.training.corpus.targets import KeptTargets
from himmel.training.validation import Rows


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
    return {
        "samples": [item.sample for item in items],
        "changes": torch.cat([item.changes for item in items]),
        "keys": [item.key for item in items],
        "known": [item.targets for item in items],
    }


class CorpusAlignment(nn.Module):
    """Stage 1 on videos whose targets are not known beforehand: the host's tower sees each video's anchors once.

    Args:
        learner: the loss.
        model: its host makes the targets, and is no part of what is trained here.
        kept: where targets are kept; None computes them whenever a video is drawn.
    """

    def __init__(
        self, learner: AlignmentModel, model: HimmelForConditionalGeneration, *, kept: KeptTargets | None = None
    ) -> None:
        super().__init__()
        self._kept = kept
        self.learner = learner
        # In a tuple, or the host would be taken for a part of this module.
        self._hosted = (model,)

    def release(self) -> MotionAdapter:
        """See `AlignmentModel.release`."""
        return self.learner.release()

    def bind(self) -> None:
        """See `AlignmentModel.bind`."""
        self.learner.bind()

    def summarise(self, rows: Sequence[Rows]) -> dict[str, float]:
        """See `AlignmentModel.summarise`."""
        return self.learner.summarise(rows)

    def forward(
        self,
        samples: Sequence[PreparedSample],
        changes: Tensor,
        keys: Sequence[str | None],
        known: Sequence[Tensor | None],
    ) -> dict[str, Any]:
        """The loss of all intervals of some videos, see `AlignmentModel`.

        Args:
            samples: see `Aligned`, as what follows.
            changes: bool [M]; intervals whose next anchor looks the same have no target worth meeting.
            keys, known: of each video.
        """
        model = self._hosted[0]
        device = next(self.learner.parameters()).device
        # The frozen tower computes in its own type, as it does where targets are known beforehand.
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            seen = [model.keep_features(sample) for sample in samples]
            streams = AlignmentCollator.streams_of(seen).to(device)
            found = [self._targets(*one) for one in zip(seen, keys, known, strict=True)]
            targets = torch.cat([one.to(device) for one in found])
        return cast(
            dict[str, Any],
            self.learner(
                motion=streams.motion,
                residual=streams.residual,
                context=streams.context,
                step_mask=streams.step_mask,
                sound=streams.sound,
                targets=targets.to(device),
                valid=changes.to(device),
            ),
        )

    def _targets(self, sample: PreparedSample, key: str | None, known: Tensor | None) -> Tensor:
        if known is not None:
            return known
        model = self._hosted[0]
        # One by one, so that what is kept doesn't depend on the video's neighbours.
        targets = align_targets(model.host, model.network, [sample])
        if self._kept is not None and key is not None:
            self._kept.keep(key, targets)
        return targets
