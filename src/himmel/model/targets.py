"""What stage 1 aligns motion with: the change of the host's visual features (docs/method.md, equation 5)."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from himmel.errors import HostError
from himmel.hosts import Host
from himmel.model.sample import PreparedSample


@torch.no_grad()
def align_targets(host: Host, network: PreTrainedModel, samples: Sequence[PreparedSample]) -> Tensor:
    """Equation 5: v_k = pool(ViT(a_{k+1})) - pool(ViT(a_k)), with the mean over a picture's tokens as pool.

    Args:
        host: of the configuration.
        network: its weights, which see the pictures.
        samples: prepared with a `far_image`, which ends the last interval of each.

    Returns:
        float32 [M, D], for all intervals of all samples, one after another.

    Raises:
        HostError: a sample was prepared without a far image.
    """
    lacking = [index for index, sample in enumerate(samples) if not sample.far_images]
    if lacking:
        raise HostError(f"Sample {lacking[0]} has no far image; prepare it with the video's last picture as far_image.")
    pooled = pooled_features(host, network, [one for item in samples for one in (item.images, item.far_images)])
    changes = [part.diff(dim=0) for part in pooled.split([sample.num_intervals + 1 for sample in samples])]
    return torch.cat(changes)


@torch.no_grad()
def pooled_features(host: Host, network: PreTrainedModel, images: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """pool(ViT(.)) of equation 5, float32 [I, D], for all pictures of these samples, one after another."""
    joined = host.join_images(images)
    vision = host.image_features(network, {name: value.to(network.device) for name, value in joined.items()})
    return torch.stack([tokens.float().mean(0) for tokens in cast(Any, vision.pooler_output)])
