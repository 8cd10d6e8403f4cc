"""The default motion encoder: a bidirectional selective state-space stack, read by learned queries."""

import torch
from torch import Tensor, nn
from transformers import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from himmel.adapter.config import AdapterConfig
from himmel.adapter.steps import TokenQueries


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


class MotionSSM(nn.Module):
    """Bidirectional stack and token queries (docs/method.md, section 4)."""

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
