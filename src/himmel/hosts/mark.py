"""Which vision part a host has, in a few letters."""

import hashlib
from typing import Final, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from himmel.hosts.protocol import Host

_VALUES: Final = 256
_MARK: Final = 16


def vision_mark(host: Host, network: PreTrainedModel, *, max_anchor_tokens: int) -> str:
    """16 hexadecimal digits that differ for another frozen vision part, or another size of the pictures that it sees.

    It goes by names, shapes and some values of the weights, rounded to bfloat16: the same for a network in any type, on
    any device, with or without the layers of its language model. Parts that this project trains don't count.

    Args:
        host: of the network.
        network: loaded, without LoRA.
        max_anchor_tokens: most image tokens of a picture.
    """
    others = [*host.trained_parts(network).values(), network.get_input_embeddings(), network.get_output_embeddings()]
    others.append(network.get_decoder())
    left_out = {id(value) for part in others for value in cast(nn.Module, part).state_dict(keep_vars=True).values()}
    digest = hashlib.sha256(f"{host.name} {host.hidden_size} {max_anchor_tokens}".encode())
    for name, value in sorted(network.state_dict(keep_vars=True).items()):
        if id(value) not in left_out:
            digest.update(f"{name} {list(value.shape)}".encode())
            flat = value.detach().reshape(-1)
            places = torch.linspace(0, len(flat) - 1, min(len(flat), _VALUES), dtype=torch.float64)
            chosen = flat[places.long().to(flat.device)].to("cpu", torch.bfloat16)
            digest.update(chosen.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:_MARK]
