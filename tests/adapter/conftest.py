"""Small adapters and random streams."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from himmel.adapter import AdapterConfig, StreamInputs

# Tensors here are so small that threads only wait for each other, minutes long on a busy machine.
torch.set_num_threads(1)


@pytest.fixture
def tiny() -> Callable[..., AdapterConfig]:
    """A config of a few thousand parameters; any field can be given."""

    def make(**changes: Any) -> AdapterConfig:
        fields: dict[str, Any] = {
            "hidden_size": 32,
            "host_hidden_size": 24,
            "tokens_per_interval": 4,
            "map_size": 12,
            "context_size": 3,
            "context_channels": 6,
            "branch": "conv",
            "conv_channels": (8, 8, 8),
            "conv_grid": 3,
            "context_width": 4,
            "ssm_layers": 2,
            "ssm_expand": 2,
            "ssm_state_size": 8,
            "ssm_head_dim": 16,
            "ssm_chunk_size": 4,
            "attention_heads": 4,
            "alignment_hidden_size": 40,
            "siglip": {
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 8,
            },
        }
        return AdapterConfig(**{**fields, **changes})

    return make


@pytest.fixture
def streams() -> Callable[..., StreamInputs]:
    """Random streams for a config, with `lengths[m]` steps that exist in interval m."""

    def make(config: AdapterConfig, lengths: list[int], *, steps: int = 6, seed: int = 0) -> StreamInputs:
        generator = torch.Generator().manual_seed(seed)
        intervals = len(lengths)

        def noise(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator)

        return StreamInputs(
            motion=noise(intervals, steps, *config.motion_shape),
            residual=noise(intervals, steps, *config.residual_shape),
            context=noise(intervals, *config.context_shape),
            step_mask=torch.arange(steps) < torch.tensor(lengths)[:, None],
        )

    return make
