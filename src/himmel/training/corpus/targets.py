"""What stage 1 aligns a corpus with, kept from the first time that the host's tower has seen a video."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from himmel._files import atomic_path, cache_root
from himmel.model import HimmelForConditionalGeneration
from himmel.training.targets import mark_of

_NAME = "targets"


class KeptTargets:
    """Targets of videos (docs/method.md, equation 5), a file each, by the pictures that they were made of.

    The report's 21,000 steps of 128 videos are 15 passes over its corpus; the tower is to see it once. At 8 intervals
    and a width of 3584 a video takes 115 kB.

    Args:
        folder: for one host and one way of showing it pictures; made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, model: HimmelForConditionalGeneration) -> Self | None:
        """Those of a model's host; None where the adapter reads the tower's map, for which it has to run anyway."""
        if model.config.context_source == "tower":
            return None
        return cls(cache_root() / _NAME / f"{model.host.name}-{mark_of(model)}")

    @staticmethod
    def key(pictures: Sequence[npt.NDArray[np.uint8]]) -> str:
        """Of pictures uint8 [H, W, 3]: those of N anchors and the last one of their video."""
        digest = hashlib.sha256()
        for picture in pictures:
            digest.update(json.dumps(picture.shape).encode())
            digest.update(np.ascontiguousarray(picture).data)
        return digest.hexdigest()

    def load(self, key: str) -> Tensor | None:
        """Float32 [N, D]; None where none are kept, or the file is damaged."""
        path = self._path(key)
        try:
            return load_file(path)[_NAME] if path.is_file() else None
        except SafetensorError:
            # A machine that lost its power may leave an empty file; the tower makes another.
            return None

    def keep(self, key: str, targets: Tensor) -> None:
        """Write targets [N, D]; several processes may do it at once."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as file:
            save_file({_NAME: targets.cpu().contiguous()}, file)

    def _path(self, key: str) -> Path:
        # Folders of hundreds of thousands of files are slow on many file systems.
        return self.folder / key[:2] / f"{key}.safetensors"
