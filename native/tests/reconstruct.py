"""Literal motion compensation in NumPy (8.4.2.2, 8.4.2.3), for tests alone.

The prediction is made from FFmpeg's decoded pictures with the engine's vectors and references.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from himmel_bitstream import BYPASS, DAMAGED, INTRA, Picture, Slice

Plane = npt.NDArray[np.int32]


def _taps(samples: Plane, axis: int) -> Plane:
    """The six-tap filter (1, -5, 20, 20, -5, 1) along an axis; the result is 5 shorter."""
    size = samples.shape[axis] - 5
    parts = [np.take(samples, range(k, k + size), axis=axis) for k in range(6)]
    return parts[0] - 5 * parts[1] + 20 * parts[2] + 20 * parts[3] - 5 * parts[4] + parts[5]


def _patch(plane: Plane, x: int, y: int, w: int, h: int) -> Plane:
    rows = np.clip(np.arange(y, y + h), 0, plane.shape[0] - 1)
    columns = np.clip(np.arange(x, x + w), 0, plane.shape[1] - 1)
    return plane[np.ix_(rows, columns)]


def luma(plane: Plane, x: int, y: int, w: int, h: int, mv: tuple[int, int], most: int) -> Plane:
    """Luma sample interpolation (8.4.2.2.1) of a block at (x, y) with a vector in quarter samples."""
    fx, fy = mv[0] & 3, mv[1] & 3
    area = _patch(plane, x + (mv[0] >> 2) - 2, y + (mv[1] >> 2) - 2, w + 5, h + 5)

    def rounded(values: Plane, shift: int) -> Plane:
        return np.clip((values + (1 << (shift - 1))) >> shift, 0, most)

    full, right, below = area[2 : 2 + h, 2 : 2 + w], area[2 : 2 + h, 3 : 3 + w], area[3 : 3 + h, 2 : 2 + w]
    across, down = _taps(area, 1), _taps(area, 0)
    b, s = rounded(across[2 : 2 + h], 5), rounded(across[3 : 3 + h], 5)
    hh, m = rounded(down[:, 2 : 2 + w], 5), rounded(down[:, 3 : 3 + w], 5)
    j = rounded(_taps(across, 0), 10)
    pairs = {
        (0, 0): (full, full), (1, 0): (full, b), (2, 0): (b, b), (3, 0): (b, right),
        (0, 1): (full, hh), (0, 2): (hh, hh), (0, 3): (hh, below),
        (1, 1): (b, hh), (3, 1): (b, m), (1, 3): (hh, s), (3, 3): (s, m),
        (2, 1): (b, j), (2, 2): (j, j), (2, 3): (j, s), (1, 2): (hh, j), (3, 2): (j, m),
    }  # fmt: skip
    one, other = pairs[fx, fy]
    return (one + other + 1) >> 1


def chroma(plane: Plane, x: int, y: int, w: int, h: int, mv: tuple[int, int], units: tuple[int, int]) -> Plane:
    """Chroma sample interpolation (8.4.2.2.2); the vector in 1 / `units` samples of this plane."""
    ux, uy = units
    area = _patch(plane, x + mv[0] // ux, y + mv[1] // uy, w + 1, h + 1)
    fx, fy = mv[0] % ux * (8 // ux), mv[1] % uy * (8 // uy)
    top = (8 - fx) * area[:-1, :-1] + fx * area[:-1, 1:]
    bottom = (8 - fx) * area[1:, :-1] + fx * area[1:, 1:]
    return ((8 - fy) * top + fy * bottom + 32) >> 6


@dataclass
class _Side:
    """One prediction of a block, with its reference index and order count."""

    samples: list[Plane]
    ref_idx: int
    poc: int
    long_term: bool


def _implicit(now: int, sides: dict[int, _Side]) -> tuple[int, int]:
    """Implicit weights (8.4.2.3.1)."""
    distance = int(np.clip(sides[1].poc - sides[0].poc, -128, 127))
    passed = int(np.clip(now - sides[0].poc, -128, 127))
    if distance == 0 or sides[0].long_term or sides[1].long_term:
        return 32, 32
    half = abs(distance // 2 if distance > 0 else -(-distance // 2))
    factor = int((16384 + half) / distance)
    scale = int(np.clip((passed * factor + 32) >> 6, -1024, 1023)) >> 2
    return (32, 32) if not -64 <= scale <= 128 else (64 - scale, scale)


def _weighted(sides: dict[int, _Side], plane: int, part: Slice, now: int, halve: bool, depth: int) -> Plane:
    """Weighted sample prediction (8.4.2.3.2)."""
    most = (1 << depth) - 1
    taken = {k: side.samples[plane] for k, side in sides.items()}
    if part.weighted == 1:
        log2 = part.log2_denoms[plane > 0]
        pairs = {}
        for k, side in sides.items():
            entry = part.weights[k][side.ref_idx >> halve]
            pairs[k] = entry[2 * plane], entry[2 * plane + 1] << (depth - 8)
        if len(sides) == 1:
            ((k, (weight, offset)),) = pairs.items()
            scaled = taken[k] * weight
            return np.clip((((scaled + (1 << (log2 - 1))) >> log2) if log2 else scaled) + offset, 0, most)
        weights, offset = [pairs[k][0] for k in (0, 1)], (pairs[0][1] + pairs[1][1] + 1) >> 1
    elif len(sides) == 1:
        return next(iter(taken.values()))
    elif part.weighted == 2:
        log2, weights, offset = 5, list(_implicit(now, sides)), 0
    else:
        return (taken[0] + taken[1] + 1) >> 1
    total = taken[0] * weights[0] + taken[1] * weights[1] + (1 << log2)
    return np.clip((total >> (log2 + 1)) + offset, 0, most)


def rebuild(picture: Picture, references: dict[int, list[Plane]]) -> tuple[list[Plane], list[npt.NDArray[np.bool_]]]:
    """Prediction plus residual of all inter macroblocks, planes of the coded frame, and where they are.

    Args:
        references: by picture number, decoded planes of the coded (uncropped) frame.
    """
    width, height = picture.coded_size
    depth, form = picture.bit_depth, picture.chroma_format
    sx, sy = (2 if form in (1, 2) else 1), (2 if form == 1 else 1)
    shapes = [(height, width)] + ([(height // sy, width // sx)] * 2 if form else [])
    built, known = [np.zeros(s, np.int32) for s in shapes], [np.zeros(s, np.bool_) for s in shapes]
    parts, macroblocks = picture.slices(), picture.macroblocks()
    blocks: dict[tuple[int, ...], list[np.void]] = {}
    for v in picture.vectors():
        blocks.setdefault(
            (int(v["mb"]), int(v["x"]), int(v["y"]), int(v["w"]), int(v["h"]), int(v["field"])), []
        ).append(v)
    for (mb, x, y, w, h, field), vectors in blocks.items():
        if macroblocks[mb]["flags"] & (INTRA | DAMAGED):
            continue
        part = parts[macroblocks[mb]["slice"]]
        halve = bool(field) and part.structure == 3
        step, top = (2, y % 2) if field else (1, 0)
        line = y // 2 if field else y
        if field:
            line = (y - top) // 2
        sides = {}
        for v in vectors:
            structure = int(v["ref_structure"])
            start, stride = ((structure - 1), 2) if structure != 3 else (0, 1)
            planes = [plane[start::stride] for plane in references[int(v["ref_number"])]]
            mv = int(v["mv_x"]), int(v["mv_y"])
            samples = [luma(planes[0], x, line, w, h, mv, (1 << depth[0]) - 1)]
            for plane in planes[1 : len(shapes)]:
                if form == 3:
                    samples.append(luma(plane, x, line, w, h, mv, (1 << depth[1]) - 1))
                    continue
                # Table 8-9: fields of unlike parity are a quarter of a chroma line apart.
                shift = 0 if structure == 3 or sy == 1 else (top - (structure - 1)) * 2
                samples.append(
                    chroma(plane, x // sx, line // sy, w // sx, h // sy, (mv[0], mv[1] + shift), (4 * sx, 4 * sy))
                )
            entry = part.ref_lists[int(v["list"])][int(v["ref_idx"]) >> halve]
            sides[int(v["list"])] = _Side(samples, int(v["ref_idx"]), int(v["ref_poc"]), entry[3])
        now = picture.poc_fields[top] if field else picture.poc
        for plane in range(len(shapes)):
            px, py = (sx, sy) if plane else (1, 1)
            mine = _weighted(sides, plane, part, now, halve, depth[plane > 0])
            first = top + step * (line // py)
            place = slice(first, first + step * (h // py), step), slice(x // px, (x + w) // px)
            built[plane][place] = mine
            known[plane][place] = True
    for plane, residual in enumerate(picture.residual()):
        built[plane] = np.where(known[plane], np.clip(built[plane] + residual, 0, (1 << depth[plane > 0]) - 1), 0)
    return built, known


def lossless_share(picture: Picture) -> float:
    """Share of macroblocks that bypass the transform."""
    return float((picture.macroblocks()["flags"] & BYPASS > 0).mean())
