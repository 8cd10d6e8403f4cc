"""From the adapter's width d to the host's width D: for the alignment of stage 1 and for the prompt."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from himmel.adapter.config import AdapterConfig


class AlignmentHead(nn.Module):
    """d -> hidden -> D with a first layer per input and one shared output layer (report, section 3.3).

    The inputs are `fused` and each stream that the adapter reads; sharing the output layer puts them into one space.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        names = ("fused", *sorted(config.streams))
        self.inputs = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, config.alignment_hidden_size) for name in names}
        )
        self.output = nn.Linear(config.alignment_hidden_size, config.host_hidden_size)

    def forward(self, states: Tensor, name: str) -> Tensor:
        """[..., d] -> [..., D], through the first layer called `name`."""
        return self.output(F.gelu(self.inputs[name](states)))


class MotionProjector(nn.Module):
    """d -> hidden -> D, each token brought to zero mean and a learned standard deviation: the motion tokens.

    The host reads them beside its own embeddings, so they start at the embeddings' scale (`match_scale`).
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.input = nn.Linear(config.hidden_size, config.alignment_hidden_size)
        self.output = nn.Linear(config.alignment_hidden_size, config.host_hidden_size)
        # The logarithm, so that a step of the optimiser is a relative change, whatever the host's scale.
        self.log_scale = nn.Parameter(torch.zeros(1))

    def forward(self, tokens: Tensor) -> Tensor:
        """[..., d] -> [..., D]."""
        projected = self.output(F.gelu(self.input(tokens)))
        return F.layer_norm(projected, projected.shape[-1:]) * self.log_scale.exp()

    @torch.no_grad()
    def init_from(self, head: AlignmentHead) -> None:
        """Copy the alignment head's path of the fused states (report, section 3.4); the scale stays."""
        self.input.load_state_dict(head.inputs["fused"].state_dict())
        self.output.load_state_dict(head.output.state_dict())

    @torch.no_grad()
    def match_scale(self, embedding_std: float) -> None:
        """Make each token's standard deviation `embedding_std`, that of the host's embeddings (positive).

        Raises:
            ValueError: not a positive, finite number.
        """
        if not 0 < embedding_std < math.inf:
            raise ValueError(f"The embeddings' standard deviation is {embedding_std}; it must be positive and finite.")
        self.log_scale.fill_(math.log(embedding_std))
