"""The host's own frozen tower as the motion encoder's backbone: it sees the maps drawn as pictures (report, I.4)."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from himmel.adapter import AdapterConfig, StreamInputs
from himmel.adapter.pictures import draw_maps
from himmel.hosts import Host

PICTURE_SIZE = 224
_AT_ONCE = 16


def show_maps(host: Host, network: PreTrainedModel, config: AdapterConfig, streams: StreamInputs) -> StreamInputs:
    """Exchange the maps of each stream that the adapter reads for the tower's mean token over each drawn map.

    The tower adds no parameters, learns nothing and sees 16 pictures at once for any number of steps.

    Args:
        host: of the configuration.
        network: its weights.
        config: of the adapter.
        streams: with maps as `StreamInputs` has them for the other encoders.

    Returns:
        The same with `motion` and `residual` [M, F, D, 1, 1]; zeros where there is no step or the stream isn't read.
    """
    seen = {
        place: _see_stream(host, network, config, name, maps, streams.step_mask)
        for place, name, maps in (
            ("motion", config.motion_stream, streams.motion),
            ("residual", "residual", streams.residual),
        )
    }
    return replace(streams, **seen)


def _see_stream(
    host: Host, network: PreTrainedModel, config: AdapterConfig, name: str, maps: Tensor, mask: Tensor
) -> Tensor:
    features = torch.zeros(*mask.shape, config.host_hidden_size, 1, 1, device=network.device)
    if name not in config.streams or not bool(mask.any()):
        return features
    parts = [see_pictures(host, network, draw_maps(name, part, PICTURE_SIZE)) for part in maps[mask].split(_AT_ONCE)]
    features[mask.to(features.device)] = torch.cat(parts)[:, :, None, None]
    return features


@torch.no_grad()
def see_pictures(host: Host, network: PreTrainedModel, pictures: Tensor) -> Tensor:
    """Mean of the host's image tokens over each of n pictures [n, 3, H, W] in 0..1: float32 [n, D]."""
    frames = (pictures * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    images = host.join_images([host.prepare_images([np.ascontiguousarray(frame) for frame in frames])])
    vision = host.image_features(network, {key: value.to(network.device) for key, value in images.items()})
    return torch.stack([tokens.float().mean(0) for tokens in cast(Any, vision.pooler_output)])
