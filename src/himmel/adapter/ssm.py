"""The default motion encoder: a bidirectional selective state-space stack, read by learned queries."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from himmel.adapter.config import AdapterConfig


def reverse_valid_prefix(sequence: Tensor, lengths: Tensor) -> Tensor:
    """Reverse the first `lengths[m]` steps of each row and leave the rest in place; its own inverse.

    Args:
        sequence: [M, F, d].
        lengths: int [M], 0..F.
    """
    steps = torch.arange(sequence.shape[1], device=sequence.device)
    last = lengths[:, None] - 1
    order = torch.where(steps <= last, last - steps, steps)
    return sequence.gather(1, order[:, :, None].expand_as(sequence))


def step_positions(steps: int, width: int, *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Sinusoidal signal [steps, width] that tells steps apart, for any number of them."""
    half = (width + 1) // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10_000.0) / half))
    angles = torch.arange(steps, device=device)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :width].to(dtype)


class BidirectionalLayer(nn.Module):
    """x + mixer(norm x) + the same for the time-reversed sequence, each direction with its own weights."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        mixer_config = Mamba2Config(
            hidden_size=config.hidden_size,
            expand=config.ssm_expand,
            num_heads=config.hidden_size * config.ssm_expand // config.ssm_head_dim,
            head_dim=config.ssm_head_dim,
            state_size=config.ssm_state_size,
            n_groups=1,
            chunk_size=config.ssm_chunk_size,
            num_hidden_layers=1,
        )
        self.norm = nn.LayerNorm(config.hidden_size)
        self.forward_mixer = Mamba2Mixer(mixer_config, layer_idx=0)
        self.backward_mixer = Mamba2Mixer(mixer_config, layer_idx=0)

    def forward(self, sequence: Tensor, step_mask: Tensor) -> Tensor:
        """[M, F, d] -> [M, F, d]; zero where `step_mask` [M, F] is False."""
        lengths = step_mask.sum(dim=1)
        # Valid steps come first, and both mixers are causal: with the padding kept behind them in both directions,
        # it can't reach them. Zeros keep it from growing.
        normed = self.norm(sequence) * step_mask[:, :, None]
        ahead = self.forward_mixer(normed)
        back = reverse_valid_prefix(self.backward_mixer(reverse_valid_prefix(normed, lengths)), lengths)
        return (sequence + ahead + back) * step_mask[:, :, None]


class TokenQueries(nn.Module):
    """K learned queries read the sequence by one cross-attention and a feed-forward.

    A learned null entry stands beside the steps, so that an interval without any step has something to read.
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


class MotionSSM(nn.Module):
    """Bidirectional stack and token queries (design, section 3, *Motion encoder*)."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BidirectionalLayer(config) for _ in range(config.ssm_layers))
        self.tokens = TokenQueries(config)

    def forward(self, fused: Tensor, step_mask: Tensor) -> tuple[Tensor, Tensor]:
        """[M, F, d] -> sequence [M, F, d] (zero where masked) and token set [M, K, d]."""
        sequence = fused * step_mask[:, :, None]
        for layer in self.layers:
            sequence = layer(sequence, step_mask)
        return sequence, self.tokens(sequence, step_mask)
