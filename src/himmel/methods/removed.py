"""What a method took away, as answers and results state it."""

from dataclasses import dataclass
from typing import Literal


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
