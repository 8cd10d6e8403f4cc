"""Random vision tokens, and plain Python arithmetic to hold methods against."""

import math

import torch

from himmel.methods.reduction.tokens import FrameTokens


def random_tokens(*grids: tuple[int, int], width: int = 8, seed: int = 0) -> FrameTokens:
    """Features of noise around a common centre."""
    chance = torch.Generator().manual_seed(seed)
    frames = [torch.randn(rows * columns, width, generator=chance) + 0.5 for rows, columns in grids]
    return FrameTokens.of(frames, grids)


def rows(tokens: FrameTokens) -> list[list[list[float]]]:
    """Each frame's tokens as lists of numbers."""
    return [frame.double().tolist() for frame in tokens.features.split(tokens.counts)]


def cosine(one: list[float], other: list[float]) -> float:
    """Cosine of two vectors."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


def kept_lists(reduction) -> list[list[int]]:  # type: ignore[no-untyped-def]
    """Kept indices of each frame."""
    return [part.tolist() for part in reduction.kept]
