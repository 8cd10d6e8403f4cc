"""Slice data of random content (7.3.4, 7.3.5), CAVLC or CABAC: every macroblock kind, small vectors, small levels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from writer_bits import BitWriter
from writer_cabac import Cabac
from writer_cavlc import Cavlc
from writer_neighbours import Grid, Macroblock, Rect, place

# Prediction of the partitions of B mb_type 4 to 21 (Table 7-14): bit 0 list 0, bit 1 list 1. Even types are 16x8, odd
# 8x16.
_B_PAIRS = ((1, 1), (2, 2), (1, 2), (2, 1), (1, 3), (2, 3), (3, 1), (3, 2), (3, 3))
# Shapes as P mb_type and sub_mb_type number them: columns and rows.
_SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2))
# B sub_mb_type (Table 7-18): prediction and shape.
_B_SUB = ((0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (1, 3), (2, 3), (3, 3))
_WHOLE: Rect = (0, 0, 4, 4)
# 4x4 blocks with neighbours within the macroblock on all sides, whose modes no other macroblock sees.
_INNER = (3, 6, 9, 12)
_DC = 2
# Greatest factor of LevelScale for qP % 6 (Table 8-13).
_SCALE = (16, 18, 20, 23, 25, 29)


@dataclass
class Slice:
    """What slice data need to know of their slice.

    `usable`: by list, the reference indices that may be named; `count`: num_ref_idx_active by list.
    `used`: filled with ("0" | "1" | "b", ref_idx) of list 0, of list 1 where list 0 is unused, and of bi-prediction's
    list 1.
    """

    kind: str
    qp: int
    first: int
    end: int
    count: tuple[int, int] = (0, 0)
    usable: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    direct: bool = False
    used: set[tuple[str, int]] = field(default_factory=set)
    has_direct: bool = False
    init_idc: int = 0  # cabac_init_idc


class Picture:
    """Slice data of one coded picture: a frame, a field or an MBAFF frame of `width` x `height` macroblocks."""

    def __init__(
        self,
        rng: random.Random,
        *,
        width: int,
        height: int,
        mbaff: bool = False,
        cabac: bool = False,
        field_picture: bool = False,
        constrained: bool = False,
        residual: float = 0.0,
        transform8x8: bool = False,
        direct8x8_inference: bool = True,
        pcm: float = 0.02,
        intra: float = 0.05,
        skip: float = 0.25,
        texture: int = 0,
    ) -> None:
        self._rng = rng
        self.width, self.height, self.mbaff = width, height, mbaff
        self.residual, self.transform8x8, self.inference = residual, transform8x8, direct8x8_inference
        self.pcm, self.intra, self.skip, self.texture = pcm, intra, skip, texture
        self.cabac, self.field_picture, self.constrained = cabac, field_picture, constrained
        self._grid = Grid(width, mbaff=mbaff)

    def slice_data(self, bits: BitWriter, s: Slice) -> None:
        """slice_data() of macroblocks s.first to s.end (addresses of 7.3.4, doubled in MBAFF)."""
        self._grid.slice += 1
        self._qp, self._first = s.qp, s.first
        self._coder: Cavlc | Cabac = Cavlc(bits, self._grid)
        if self.cabac:
            self._coder = Cabac(
                bits, self._grid, kind=s.kind, field_picture=self.field_picture, qp=s.qp, init_idc=s.init_idc
            )
        skipped = False
        for address in range(s.first, s.end):
            top = address % 2 == 0
            if self.mbaff and top:
                inferred = self._grid.inferred(address)
                pair_skips = [s.kind != "I" and self._may_skip(s) for _ in range(2)]
                self._field = inferred if all(pair_skips) else self._rng.random() < 0.5
            elif not self.mbaff:
                self._field = False
                pair_skips = [s.kind != "I" and self._may_skip(s)] * 2
            skip = pair_skips[address % 2]
            self._mb = self._grid.done[address] = Macroblock(self._grid.slice, self._field)
            self._coder.begin(address)
            if s.kind != "I":
                self._coder.skip(skip)
            if skip:
                s.used |= {("0", 0), ("b", 0)} if s.kind == "B" else {("0", 0)}
                s.has_direct |= s.kind == "B"
            else:
                if self.mbaff and (top or skipped):
                    self._coder.field(self._field)
                self._macroblock(s, address)
            self._coder.end(last=address == s.end - 1)
            skipped = skip

    def _may_skip(self, s: Slice) -> bool:
        if s.kind == "B":
            return s.direct and self._rng.random() < self.skip
        return 0 in s.usable[0] and self._rng.random() < self.skip

    def _mb_type(self, number: int, kind: str) -> None:
        self._mb.kind = kind
        self._coder.mb_type(number)

    def _macroblock(self, s: Slice, address: int) -> None:
        rng = self._rng
        offset = {"I": 0, "P": 5, "B": 23}[s.kind]
        inter = (s.kind == "P" and s.usable[0]) or (s.kind == "B" and s.usable[0] and s.usable[1])
        roll = rng.random()
        if roll < self.pcm or (not inter and not self.residual):
            self._mb_type(offset + 25, "pcm")
            self._coder.pcm(self._samples())
        elif roll < self.pcm + self.intra * (self.residual > 0) or not inter:
            self._intra_mb(offset, address)
        else:
            small = self._inter_p(s) if s.kind == "P" else self._inter_b(s)
            self._coded(transform8x8=self.transform8x8 and not small)

    def _samples(self) -> bytes:
        """384 samples of a texture that differs from macroblock to macroblock and is smooth, rough or flat."""
        rng = self._rng
        kind = rng.choice((0, 0, 0, 1, 2)) if self.texture == 0 else self.texture - 1
        base, dx, dy = rng.randrange(40, 200), rng.uniform(-3, 3), rng.uniform(-3, 3)
        noise = (3, 120, 0)[kind]

        def plane(size: int) -> list[int]:
            return [
                max(0, min(255, int(base + dx * x + dy * y + rng.uniform(-noise, noise))))
                for y in range(size)
                for x in range(size)
            ]

        return bytes(plane(16) + plane(8) + plane(8))

    def _intra_mb(self, offset: int, address: int) -> None:
        rng, coder = self._rng, self._coder
        if rng.random() < 0.5:
            self._mb_type(offset, "nxn")
            eight = self.transform8x8 and rng.random() < 0.5
            if self.transform8x8:
                self._mb.transform8x8 = eight
                coder.transform8x8(eight)
            self._intra_modes(eight)
            self._chroma_mode(address)
            self._coded(transform8x8=False)
            return
        chroma, luma = rng.randrange(3), rng.random() < 0.5
        mode = rng.choice(self._whole_modes(address))
        self._mb_type(offset + 1 + (2, 1, 0, 3)[mode] + 4 * chroma + 12 * luma, "16x16")
        self._mb.cbp = chroma << 4 | 15 * luma
        self._chroma_mode(address)
        self._delta_qp()
        coder.dc("luma", self._levels(16))
        for i in range(16 if luma else 0):
            coder.levels("luma", i, self._levels(15))
        self._chroma(chroma)

    def _intra_modes(self, eight: bool) -> None:
        """DC, which is what macroblocks predict from each other (8.3.1.1), except for blocks that none of them sees."""
        if eight:
            for _ in range(4):
                self._coder.intra_mode(None)
            return
        modes = {place("luma", i): self._rng.randrange(9) if i in _INNER else _DC for i in range(16)}
        for i in range(16):
            x, y = place("luma", i)
            predicted = min(modes.get((x - 1, y), _DC), modes.get((x, y - 1), _DC))
            mode = modes[x, y]
            self._coder.intra_mode(None if mode == predicted else mode - (mode > predicted))

    def _whole_modes(self, address: int) -> list[int]:
        """DC, horizontal, vertical and plane, numbered as intra_chroma_pred_mode, as far as the samples are there."""
        if self.constrained:
            return [0]
        unit, first = self._grid.unit(address), self._grid.unit(self._first)
        left, above = unit % self.width > 0 and unit > first, unit - self.width >= first
        corner = left and unit - self.width - 1 >= first
        return [mode for mode, there in enumerate((True, left, above, corner)) if there]

    def _chroma_mode(self, address: int) -> None:
        self._mb.chroma_mode = self._rng.choice(self._whole_modes(address))
        self._coder.chroma_mode(self._mb.chroma_mode)

    def _mvd(self, which: int, part: Rect) -> None:
        rng = self._rng
        difference = []
        for _ in range(2):
            reach = rng.choices((0, 3, 14, 50), (4, 6, 4, 1))[0]
            difference.append(rng.randint(-reach, reach))
        self._coder.mvd(which, part, (difference[0], difference[1]))

    def _references(self, s: Slice, which: int, parts: list[tuple[int, Rect]]) -> None:
        """ref_idx of one list for the parts whose prediction uses it."""
        pairs = 2 if self._field else 1
        for prediction, part in parts:
            if not prediction >> which & 1:
                continue
            index = self._rng.choice(s.usable[which]) * pairs + self._rng.randrange(pairs)
            s.used.add(("0" if which == 0 else "1" if prediction == 2 else "b", index // pairs))
            self._coder.ref_idx(which, part, index, s.count[which] * pairs - 1)

    def _inter_p(self, s: Slice) -> bool:
        kind = self._rng.choice((0, 0, 1, 2, 3, 3, 4))
        if kind == 4 and (0 not in s.usable[0] or self.cabac):
            kind = 3  # P_8x8ref0 is CAVLC's alone
        self._mb_type(kind, "inter")
        parts = _divided(_WHOLE, min(kind, 3))
        subs = [self._rng.randrange(4) if kind > 2 else 0 for _ in parts]
        for sub in subs if kind > 2 else []:
            self._coder.sub_mb_type(sub)
        if kind == 4:
            s.used.add(("0", 0))
        else:
            self._references(s, 0, [(1, part) for part in parts])
        for part, sub in zip(parts, subs, strict=True):
            for vector in _divided(part, sub):
                self._mvd(0, vector)
        return any(subs)

    def _inter_b(self, s: Slice) -> bool:
        rng = self._rng
        kind = rng.choice((0, 1, 2, 3, *range(4, 22), 22, 22, 22, 22, 22, 22)) if s.direct else rng.randint(1, 22)
        self._mb_type(kind, "inter" if kind else "direct")
        if kind == 0:
            s.used |= {("0", 0), ("b", 0)}
            s.has_direct = True
            return not self.inference
        small = False
        if kind < 4:
            chosen, shape = [(kind, 0)], 0
        elif kind < 22:
            chosen, shape = [(prediction, 0) for prediction in _B_PAIRS[(kind - 4) // 2]], 1 + kind % 2
        else:
            subs = [rng.randint(0 if s.direct else 1, 12) for _ in range(4)]
            for sub in subs:
                self._coder.sub_mb_type(sub)
            chosen, shape = [_B_SUB[sub] for sub in subs], 3
            if 0 in subs:
                s.used |= {("0", 0), ("b", 0)}
                s.has_direct = True
            small = any(divided for _, divided in chosen) or (0 in subs and not self.inference)
        parts = [(prediction, part) for (prediction, _), part in zip(chosen, _divided(_WHOLE, shape), strict=True)]
        for which in range(2):
            self._references(s, which, parts)
        for which in range(2):
            for (prediction, part), (_, divided) in zip(parts, chosen, strict=True):
                for vector in _divided(part, divided) if prediction >> which & 1 else []:
                    self._mvd(which, vector)
        return small

    def _coded(self, *, transform8x8: bool) -> None:
        """coded_block_pattern and what depends on it."""
        rng, coder, mb = self._rng, self._coder, self._mb
        luma = rng.randrange(16) if rng.random() < self.residual else 0
        chroma = rng.randrange(3) if rng.random() < self.residual else 0
        mb.cbp = luma | chroma << 4
        coder.coded_block_pattern(mb.cbp)
        if transform8x8 and luma:
            chosen = rng.random() < 0.5
            coder.transform8x8(chosen)
            mb.transform8x8 = chosen
        if luma or chroma:
            self._delta_qp()
        for i in range(0, 16, 4 if mb.transform8x8 else 1):
            if luma >> (i // 4) & 1:
                coder.levels("luma", i, self._levels(64 if mb.transform8x8 else 16))
        self._chroma(chroma)

    def _chroma(self, coded: int) -> None:
        for plane in ("cb", "cr") if coded else ():
            self._coder.dc(plane, self._levels(4))
        for plane in ("cb", "cr") if coded == 2 else ():
            for i in range(4):
                self._coder.levels(plane, i, self._levels(15))

    def _delta_qp(self) -> None:
        """mb_qp_delta (7.4.5), by either way round the 52 values."""
        qp = self._qp if self._rng.random() < 0.5 else self._rng.randint(0, 44)
        delta = qp - self._qp
        if not -26 <= delta <= 25:
            delta += 52 if delta < 0 else -52
        self._coder.qp_delta(delta)
        self._qp = qp

    def _levels(self, size: int) -> list[int]:
        """Levels whose residual stays far within 16 bits."""
        rng = self._rng
        # Half for the 8x8 transform and chroma's quantiser, which an offset may raise.
        qp = min(51, self._qp + 4)
        budget = max(1, 12000 // ((_SCALE[qp % 6] * 2 << (qp // 6)) or 1))
        levels = [0] * size
        count = min(rng.choice((0, 1, 1, 2, 3, 5, size)), size, budget)
        for at in range(count) if rng.random() < 0.5 else rng.sample(range(size), count):
            most = rng.choices((1, 3, 20, 2000), (10, 6, 3, 1))[0]
            level = rng.randint(1, max(1, min(most, (budget - count) // 4)))
            budget -= level
            levels[at] = rng.choice((-1, 1)) * level
            if budget <= 0:
                break
        if size == 64 and self.cabac and not any(levels):
            levels[rng.randrange(size)] = rng.choice((-1, 1))  # such blocks have no flag to say that they are empty
        return levels


def _divided(part: Rect, shape: int) -> list[Rect]:
    """A partition's parts by `_SHAPES`."""
    x, y, width, height = part
    columns, rows = _SHAPES[shape]
    width, height = width // columns, height // rows
    return [(x + width * column, y + height * row, width, height) for row in range(rows) for column in range(columns)]
