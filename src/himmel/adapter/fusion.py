"""Two operands become one: one stage of the fusion (docs/method.md, equations 3 and 4)."""

import torch
from torch import Tensor, nn

from himmel.adapter.config import AdapterConfig


class _OperandMap(nn.Linear):
    """U or V; starts so that a half-open gate over two independent operands of unit variance gives unit variance."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=(2 / self.in_features) ** 0.5)


class CompressedStreamFusion(nn.Module):
    """One fusion stage, with weights of its own: motion with residual, that with context, and that with any sound.

    Modes, for operands a and b of width d:
        gated:        g = sigmoid(W_g [a ; b] + b_g), result g * U a + (1 - g) * V b
        weighted_sum: w = sigmoid(one learned number), result w * U a + (1 - w) * V b
        concat_mlp:   two-layer perceptron of [a ; b]
        concat:       linear map of [a ; b]
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.mode = config.fusion
        if self.mode == "gated":
            self.gate = nn.Linear(2 * width, width)
        if self.mode == "weighted_sum":
            self.weight_logit = nn.Parameter(torch.zeros(1))
        if self.mode in ("gated", "weighted_sum"):
            self.first = _OperandMap(width, width, bias=False)
            self.second = _OperandMap(width, width, bias=False)
        if self.mode == "concat_mlp":
            self.mix: nn.Module = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))
        if self.mode == "concat":
            self.mix = nn.Linear(2 * width, width)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor | None]:
        """Fuse two operands [..., d].

        Returns:
            The fused states [..., d], and the weight of the first operand averaged over the width [...] without
            gradient (None for the two modes that do not weigh their operands).
        """
        if self.mode in ("concat", "concat_mlp"):
            return self.mix(torch.cat((first, second), dim=-1)), None
        weight = self._weight(first, second)
        fused = weight * self.first(first) + (1 - weight) * self.second(second)
        return fused, weight.detach().mean(dim=-1).expand(first.shape[:-1])

    def _weight(self, first: Tensor, second: Tensor) -> Tensor:
        if self.mode == "gated":
            return torch.sigmoid(self.gate(torch.cat((first, second), dim=-1)))
        return torch.sigmoid(self.weight_logit)
