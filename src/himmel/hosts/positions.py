"""Rotary positions of prompts with motion tokens (docs/method.md, section 7).

Motion tokens are a fourth kind beside text, image and video. In the `grid` scheme the K tokens of an interval
are a grid at one time of its own, sqrt(K) x sqrt(K) or as near to it as possible, so that it costs about sqrt(K)
positions; in the `sequential` scheme they count as typed text and cost K.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from himmel.hosts.protocol import PositionScheme, Run


def plain_positions(runs: Sequence[Run], *, scheme: PositionScheme, start: int = 0) -> Tensor:
    """Positions on one axis; an interval's row r shares the position `base + r` in the grid scheme.

    Returns:
        int64 [1, L], beginning at `start`.
    """
    parts: list[Tensor] = []
    for run in runs:
        if run.kind == "motion" and scheme == "grid" and run.grid is not None:
            part = start + _row_and_column(run, run.grid[1])[0]
        else:
            part = start + torch.arange(len(run.ids))
        parts.append(part)
        start = int(part.max()) + 1 if len(part) else start
    return torch.cat(parts)[None] if parts else torch.empty(1, 0, dtype=torch.long)


def time_row_column_positions(runs: Sequence[Run], *, scheme: PositionScheme, start: int = 0) -> Tensor:
    """Positions on the axes time, row and column (Qwen2.5-VL's M-RoPE).

    Text has the same position on all three. A picture, and an interval in the grid scheme, is a grid at a constant
    time; what follows continues after the largest position.

    Returns:
        int64 [3, L], beginning at `start`.
    """
    parts: list[Tensor] = []
    for run in runs:
        if run.grid is not None and (run.kind == "image" or scheme == "grid"):
            row, column = _row_and_column(run, run.grid[1])
            part = start + torch.stack([torch.zeros_like(row), row, column])
        else:
            part = (start + torch.arange(len(run.ids))).expand(3, -1)
        parts.append(part)
        start = int(part.max()) + 1 if part.numel() else start
    return torch.cat(parts, dim=1) if parts else torch.empty(3, 0, dtype=torch.long)


def _row_and_column(run: Run, columns: int) -> tuple[Tensor, Tensor]:
    cells = torch.arange(len(run.ids)) if run.cells is None else torch.tensor(run.cells, dtype=torch.long)
    return cells // columns, cells % columns
