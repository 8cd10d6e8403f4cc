"""What people watch while a model trains: how large each part's gradient is, how fast it goes and waits for data."""

import importlib.util
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from torch import Tensor, nn

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


class Pace:
    """How fast a training goes, and how much of the time it waits for batches."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._waited = 0.0
        self._done: dict[str, float] = {}

    def add_waiting(self, seconds: float) -> None:
        """Seconds that a batch was waited for."""
        self._waited += seconds

    def add_work(self, counts: Mapping[str, Tensor]) -> None:
        """What a micro-step went through: tokens, intervals."""
        for name, count in counts.items():
            self._done[name] = self._done.get(name, 0.0) + float(count)

    def leave_out(self, seconds: float) -> None:
        """Seconds that were spent on something else than training."""
        self._begin += seconds

    def take(self, *, over_all: Callable[[dict[str, float]], dict[str, float]] = lambda own: own) -> dict[str, float]:
        """Since the last call: `waiting`, a share of the time 0..1, and `NAME_per_second` of each work.

        Args:
            over_all: sums what was done over all processes.
        """
        now = time.perf_counter()
        seconds = max(now - self._begin, 1e-9)
        rates = {f"{name}_per_second": count / seconds for name, count in over_all(self._done).items()}
        share = min(self._waited / seconds, 1.0)
        self._begin, self._waited, self._done = now, 0.0, {}
        return {"waiting": share, **rates}
