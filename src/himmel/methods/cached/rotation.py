"""Keys moved to other positions: they are kept rotated, and two rotations one after another add up."""

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def move_keys(network: PreTrainedModel, keys: Tensor, by: Tensor) -> Tensor:
    """Rotated keys as they would be at other positions: K cos(d) + rotate_half(K) sin(d).

    Args:
        network: whose language model made the keys.
        keys: [B, G, n, d].
        by: int64 [A, n], how far each goes on each of the host's axes (1, or 3 for time, row and column).

    Returns:
        [B, G, n, d] in the type of `keys`, computed in float32.
    """
    if not bool(by.any()):
        return keys
    rotary = cast(nn.Module, network.get_decoder().rotary_emb)
    exact = keys.float()
    positions = by.to(keys.device)
    cos, sin = rotary(exact, positions if len(by) == 1 else positions[:, None])
    # Some kinds of rotary positions scale keys too, which has been done once already.
    scale = cast(float, rotary.attention_scaling)
    first, second = exact.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (exact * (cos / scale)[:, None] + turned * (sin / scale)[:, None]).to(keys.dtype)
