"""What a method took away, as answers and results state it."""

from dataclasses import dataclass
from typing import Final, Literal

from himmel.errors import UsageError

PATIENCE: Final = 5
"""So many prompts of which nothing was removed, and none before of which anything was, are the method's fault."""


@dataclass(frozen=True)
class Removed:
    """What a method took away before or inside the language model.

    Attributes:
        unit: of what is counted: tokens of the prompt, or entries of the cache in each layer.
        before, after: how many there were, and are left.
        merged: how many of those that are gone were added into others; the rest was dropped.
    """

    unit: Literal["tokens", "cache entries"]
    before: int
    after: int
    merged: int = 0


class NothingRemovedError(UsageError):
    """A method would remove nothing of a prompt.

    Attributes:
        removed: what there is, before and after.
    """

    def __init__(self, sentence: str, removed: Removed) -> None:
        super().__init__(sentence)
        self.removed = removed
