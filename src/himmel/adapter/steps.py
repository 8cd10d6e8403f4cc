"""From the fused states of an interval's steps to its K tokens, without a recurrence over time."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from himmel.adapter.config import AdapterConfig


def step_positions(steps: int, width: int, *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sinusoidal signal [steps, width] that tells steps apart, for any number of them."""
    half = (width + 1) // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / half))
    angles = torch.arange(steps, device=device)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :width].to(dtype)


class TokenQueries(nn.Module):
    """K learned queries read the sequence by one cross-attention and a feed-forward.

    A learned null entry is read beside the steps, so that an interval without any step has something to read.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        width = config.hidden_size
        inner = width * config.feed_forward_ratio
        self.heads = config.attention_heads
        self.queries = nn.Parameter(torch.empty(config.tokens_per_interval, width))
        self.null_entry = nn.Parameter(torch.empty(1, width))
        self.query_norm = nn.LayerNorm(width)
        self.memory_norm = nn.LayerNorm(width)
        # Without biases: softmax does not see a constant added to all keys.
        self.to_query = nn.Linear(width, width, bias=False)
        self.to_key = nn.Linear(width, width, bias=False)
        self.to_value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width)
        )
        self.token_norm = nn.LayerNorm(width)

    def forward(self, sequence: Tensor, step_mask: Tensor) -> Tensor:
        """[M, F, d] and the mask [M, F] -> token set [M, K, d]."""
        intervals, steps, width = sequence.shape
        memory = self.memory_norm(sequence)
        memory = memory + step_positions(steps, width, device=sequence.device, dtype=sequence.dtype)
        memory = torch.cat((self.null_entry.expand(intervals, 1, width), memory), dim=1)
        readable = F.pad(step_mask, (1, 0), value=True)
        queries = self.queries.expand(intervals, -1, -1)
        tokens = queries + self._attend(self.query_norm(queries), memory, readable)
        return self.token_norm(tokens + self.feed_forward(tokens))

    def _attend(self, queries: Tensor, memory: Tensor, readable: Tensor) -> Tensor:
        query, key, value = (
            states.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for states in (self.to_query(queries), self.to_key(memory), self.to_value(memory))
        )
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=readable[:, None, None, :])
        return self.output(read.transpose(1, 2).flatten(2))


class StepQueries(nn.Module):
    """Token queries on the fused states themselves: what an image encoder's states of single steps are read by."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.tokens = TokenQueries(config)

    def forward(self, fused: Tensor, step_mask: Tensor) -> tuple[Tensor, Tensor]:
        """[M, F, d] -> sequence [M, F, d] (zero where masked) and token set [M, K, d]."""
        sequence = fused * step_mask[:, :, None]
        return sequence, self.tokens(sequence, step_mask)


class SpreadSteps(nn.Module):
    """K averages over equal stretches of time, normalised; nothing is learned (report, I.4, "concat only").

    Stretch k of K covers the steps k n / K to (k + 1) n / K of the n that exist, so that fewer tokens than steps are
    means and more are repeats. An interval without any step gives zeros.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.count = config.tokens_per_interval

    def forward(self, fused: Tensor, step_mask: Tensor) -> tuple[Tensor, Tensor]:
        """[M, F, d] -> sequence [M, F, d] (zero where masked) and token set [M, K, d]."""
        sequence = fused * step_mask[:, :, None]
        shares = stretch_shares(step_mask.sum(dim=1), steps=fused.shape[1], stretches=self.count)
        tokens = shares.to(fused.dtype) @ sequence
        return sequence, F.layer_norm(tokens, tokens.shape[-1:])


def stretch_shares(lengths: Tensor, *, steps: int, stretches: int) -> Tensor:
    """Share of each step in the mean of each stretch of time; int [M] lengths -> float32 [M, stretches, steps]."""
    edges = torch.arange(stretches + 1, device=lengths.device) * (lengths[:, None] / stretches)
    step = torch.arange(steps, device=lengths.device)
    begin, end = edges[:, :-1, None], edges[:, 1:, None]
    overlap = (torch.minimum(end, step + 1) - torch.maximum(begin, step)).clamp(min=0)
    return overlap * (stretches / lengths.clamp(min=1))[:, None, None]
