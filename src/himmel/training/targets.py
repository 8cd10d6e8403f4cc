"""What stage 1 aligns with, computed once: a clip's targets never change while the host is frozen."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from himmel._files import atomic_path
from himmel.hosts import vision_mark
from himmel.model import HimmelForConditionalGeneration, align_targets
from himmel.training.gather import num_processes, wait_for_all
from himmel.training.store import ClipStore

_NAME = "targets"


class TargetStore:
    """The visual change across each interval (docs/method.md, equation 5) of a store's clips, a file for each clip.

    Training for more than one pass would otherwise run the host's tower again in each of them, on every device.

    Args:
        store: of the clips.
        model: its host sees the pictures; another host, another type of its weights or another state of the parts that
            this project trains gives another folder.
    """

    def __init__(self, store: ClipStore, model: HimmelForConditionalGeneration) -> None:
        self._store = store
        self.folder = store.folder / f"{_NAME}-{mark_of(model)}"

    def path(self, seed: int) -> Path:
        """The file of the clip of this seed, made or not."""
        return self.folder / f"{seed}.safetensors"

    def load(self, seed: int) -> Tensor:
        """Targets of a clip, float32 [N, D]."""
        return load_file(self.path(seed))[_NAME]

    def fill(self, seeds: Iterable[int], model: HimmelForConditionalGeneration) -> None:
        """Compute what is not there yet, each process its share, with the host on the device where it is.

        Clips are seen one by one, so that what a target is doesn't depend on its neighbours.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        rank = torch.distributed.get_rank() if num_processes() > 1 else 0
        for seed in list(seeds)[rank :: num_processes()]:
            if not self.path(seed).is_file():
                found = align_targets(model.host, model.network, [self._store.load(seed).sample])
                with atomic_path(self.path(seed)) as file:
                    save_file({_NAME: found.cpu().contiguous()}, file)
        wait_for_all()


def mark_of(model: HimmelForConditionalGeneration) -> str:
    """A hash of what the host's features depend on: its vision part, and the type of its weights."""
    # By its weights, since a folder that a name stands for may hold another host by now.
    frozen = vision_mark(model.host, model.network, max_anchor_tokens=model.config.max_anchor_tokens)
    digest = hashlib.sha256(f"{frozen} {model.network.dtype}".encode())
    for module in model.host_parts().values():
        for name, value in module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
