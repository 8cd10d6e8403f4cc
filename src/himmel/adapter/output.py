"""What comes out of the adapter."""

from dataclasses import dataclass

from torch import Tensor

from himmel.adapter.gates import GateStatistics
from himmel.adapter.tensors import ShowsShapes


@dataclass(frozen=True, kw_only=True, repr=False)
class AdapterOutput(ShowsShapes):
    """What the adapter makes of M intervals.

    Attributes:
        tokens: [M, K, D], motion tokens at the scale of the host's embeddings.
        embedding: [M, D], alignment-head output of the pooled token set, for stage 1 (docs/method.md, equation 7).
        branches: per stream that is read, [M, D]: its own projection (item 7).
        pooled: [M, d], mean of the token set before the projector.
        sequence: [M, F, d], hidden states after the state-space stack, zero at steps that do not exist.
        gates: how the fusion stages weighed their operands; None for `concat` and `concat_mlp`.
    """

    tokens: Tensor
    embedding: Tensor
    branches: dict[str, Tensor]
    pooled: Tensor
    sequence: Tensor
    gates: GateStatistics | None
