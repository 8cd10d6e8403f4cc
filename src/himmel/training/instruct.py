"""Stage 2: the language model learns the answers (docs/method.md, equation 9)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from himmel.model import HimmelForConditionalGeneration
from himmel.model.inputs import ModelInputs
from himmel.model.prompt import IGNORED
from himmel.training.gather import weight_of_mean
from himmel.training.validation import Rows, summarise_answers


class InstructModel(nn.Module):
    """The language-modelling loss on the answers, as the trainer takes it."""

    def __init__(self, model: HimmelForConditionalGeneration) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: ModelInputs) -> dict[str, Any]:
        """`loss`, no further `parts`, and `counts` of tokens; `inputs` is what `HimmelProcessor.encode` makes.

        When this is not training, `rows` too, see `summarise_answers`.
        """
        output = self.model(inputs)
        assert inputs.labels is not None
        answered = int((inputs.labels != IGNORED).sum())
        loss = output.loss * weight_of_mean(answered, output.loss.device) if self.training else output.loss
        made: dict[str, Any] = {"loss": loss, "parts": {}, "counts": {"tokens": inputs.real.sum()}}
        if not self.training:
            made["rows"] = _rows(output.loss, output.logits, inputs)
        return made

    def summarise(self, rows: Sequence[Rows]) -> dict[str, float]:
        """Loss over all answers' tokens that were held out, see `summarise_answers`."""
        return summarise_answers(rows)


def _rows(loss: Tensor, logits: Tensor, inputs: ModelInputs) -> Rows:
    assert inputs.labels is not None
    labels = functional.pad(inputs.labels[:, 1:], (0, 1), value=IGNORED)
    # The logits are of the labelled positions alone, in this order.
    targets = labels[labels != IGNORED].to(logits.device)
    count = torch.tensor(len(targets))
    return {"loss": loss * len(targets), "right": (logits.argmax(-1) == targets).sum(), "tokens": count}
