"""What people watch while a model trains: how large each part's gradient is, and how long the device waits for data."""

import importlib.util
import math
import time
from collections.abc import Sequence
from typing import Final

from torch import nn

from himmel.choices import Tracker
from himmel.errors import RecipeError
from himmel.training.sharding import whole

_PACKAGES: Final[dict[Tracker, str]] = {"tensorboard": "tensorboard", "wandb": "wandb", "trackio": "trackio"}


def check_trackers(trackers: Sequence[Tracker]) -> list[str]:
    """Their names again, for transformers.

    Raises:
        RecipeError: a package is not installed.
    """
    for name in trackers:
        if importlib.util.find_spec(_PACKAGES[name]) is None:
            raise RecipeError(
                f"compute.report_to names {name!r}, which is not installed; run `pip install {_PACKAGES[name]}`, or "
                "leave it out."
            )
    return list(trackers)


def gradient_norms(module: nn.Module) -> dict[str, float]:
    """Norm of the gradient of each trained part, by `gradient_PART`; parts without a gradient are left out.

    Parts are the adapter's branches, its other modules, `lora` and the rest of the host.
    """
    squares: dict[str, float] = {}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            part = f"gradient_{_part(name)}"
            squares[part] = squares.get(part, 0.0) + float(whole(parameter.grad.detach().float().square().sum()))
    return {part: math.sqrt(square) for part, square in squares.items()}


def _part(name: str) -> str:
    if ".lora_" in name:
        return "lora"
    pieces = name.split(".")
    if "adapter" not in pieces:
        return "host" if "network" in pieces else pieces[0]
    inner = pieces[pieces.index("adapter") + 1 :]
    return inner[1] if inner[0] == "branches" else inner[0]


class Waiting:
    """How much of the time went by in waiting for batches."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._waited = 0.0

    def add(self, seconds: float) -> None:
        """Seconds that a batch was waited for."""
        self._waited += seconds

    def share(self) -> float:
        """Share of the time since the last call, 0..1."""
        now = time.perf_counter()
        share = self._waited / max(now - self._begin, 1e-9)
        self._begin, self._waited = now, 0.0
        return min(share, 1.0)
