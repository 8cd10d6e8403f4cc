"""Slice data of random content in CAVLC (7.3.4, 7.3.5): every macroblock kind, small vectors, small levels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from writer_bits import CBP_INTER, CBP_INTRA, BitWriter, residual_block

# Prediction of the partitions of B mb_type 4 to 21 (Table 7-14): bit 0 list 0, bit 1 list 1. Even types are 16x8, odd
# 8x16.
_B_PAIRS = ((1, 1), (2, 2), (1, 2), (2, 1), (1, 3), (2, 3), (3, 1), (3, 2), (3, 3))
# B sub_mb_type (Table 7-18): prediction and number of vectors.
_B_SUB = ((0, 0), (1, 1), (2, 1), (3, 1), (1, 2), (1, 2), (2, 2), (2, 2), (3, 2), (3, 2), (1, 4), (2, 4), (3, 4))
_P_SUB = ((1, 1), (1, 2), (1, 2), (1, 4))
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


@dataclass
class _Macroblock:
    slice: int
    field: bool
    luma: list[int]
    chroma: tuple[list[int], list[int]]


class Picture:
    """Slice data of one coded picture: a frame, a field or an MBAFF frame of `width` x `height` macroblocks."""

    def __init__(
        self,
        rng: random.Random,
        *,
        width: int,
        height: int,
        mbaff: bool = False,
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
        self._done: dict[int, _Macroblock] = {}
        self._slices = 0

    def slice_data(self, bits: BitWriter, s: Slice) -> None:
        """slice_data() of macroblocks s.first to s.end (addresses of 7.3.4, doubled in MBAFF)."""
        self._slices += 1
        self._qp = s.qp
        run, skipped = 0, False
        for address in range(s.first, s.end):
            top = address % 2 == 0
            if self.mbaff and top:
                inferred = self._inferred(address)
                pair_skips = [s.kind != "I" and self._may_skip(s) for _ in range(2)]
                self._field = inferred if all(pair_skips) else self._rng.random() < 0.5
            elif not self.mbaff:
                self._field = False
                pair_skips = [s.kind != "I" and self._may_skip(s)] * 2
            skip = pair_skips[address % 2]
            if skip:
                run += 1
                self._done[address] = self._new()
                s.used |= {("0", 0), ("b", 0)} if s.kind == "B" else {("0", 0)}
                s.has_direct |= s.kind == "B"
            else:
                if s.kind != "I":
                    bits.ue(run)
                    run = 0
                if self.mbaff and (top or skipped):
                    bits.u(1, int(self._field))
                self._done[address] = self._new()
                self._macroblock(bits, s, address)
            skipped = skip
        if run:
            bits.ue(run)
        bits.trailing()

    def _may_skip(self, s: Slice) -> bool:
        if s.kind == "B":
            return s.direct and self._rng.random() < self.skip
        return 0 in s.usable[0] and self._rng.random() < self.skip

    def _new(self) -> _Macroblock:
        return _Macroblock(self._slices, self._field, [0] * 16, ([0] * 4, [0] * 4))

    def _inferred(self, address: int) -> bool:
        """mb_field_decoding_flag of a pair that does not carry it (7.4.4): of the pair to the left, above, or frame."""
        pair = address // 2
        for other in ((pair - 1) if pair % self.width else -1, pair - self.width):
            mb = self._done.get(2 * other)
            if other >= 0 and mb and mb.slice == self._slices:
                return mb.field
        return False

    def _macroblock(self, bits: BitWriter, s: Slice, address: int) -> None:
        rng = self._rng
        offset = {"I": 0, "P": 5, "B": 23}[s.kind]
        inter = (s.kind == "P" and s.usable[0]) or (s.kind == "B" and s.usable[0] and s.usable[1])
        roll = rng.random()
        if roll < self.pcm or (not inter and not self.residual):
            bits.ue(offset + 25)
            bits.align()
            bits.data(self._samples(address))
            self._done[address].luma = [16] * 16
            self._done[address].chroma = ([16] * 4, [16] * 4)
        elif roll < self.pcm + self.intra * (self.residual > 0) or not inter:
            self._intra_mb(bits, offset, address)
        else:
            small = self._inter_p(bits, s) if s.kind == "P" else self._inter_b(bits, s)
            self._coded(bits, address, intra=False, transform8x8=self.transform8x8 and not small)

    def _samples(self, address: int) -> bytes:
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

    def _intra_mb(self, bits: BitWriter, offset: int, address: int) -> None:
        if self._rng.random() < 0.5:
            bits.ue(offset)
            eight = self.transform8x8 and self._rng.random() < 0.5
            if self.transform8x8:
                bits.u(1, int(eight))
            # All blocks use the predicted mode, which is DC since no other occurs (8.3.1.1).
            bits.u(4 if eight else 16, (1 << (4 if eight else 16)) - 1)
            bits.ue(0)
            self._coded(bits, address, intra=True, transform8x8=False)
            return
        chroma, luma = self._rng.randrange(3), self._rng.random() < 0.5
        bits.ue(offset + 1 + 2 + 4 * chroma + 12 * luma)
        bits.ue(0)
        self._delta_qp(bits)
        self._block(bits, address, "luma", 0, 16, keep=False)
        if luma:
            for i in range(16):
                self._block(bits, address, "luma", i, 15)
        self._chroma(bits, address, chroma)

    def _mvd(self, bits: BitWriter) -> None:
        rng = self._rng
        for _ in range(2):
            reach = rng.choices((0, 3, 14, 50), (4, 6, 4, 1))[0]
            bits.se(rng.randint(-reach, reach))

    def _references(self, bits: BitWriter, s: Slice, which: int, parts: list[int]) -> None:
        """ref_idx of one list for the parts whose prediction uses it."""
        pairs = 2 if self._field else 1
        greatest = s.count[which] * pairs - 1
        for prediction in parts:
            if not prediction >> which & 1:
                continue
            index = self._rng.choice(s.usable[which]) * pairs + self._rng.randrange(pairs)
            s.used.add(("0" if which == 0 else "1" if prediction == 2 else "b", index // pairs))
            if greatest > 0:
                bits.te(greatest, index)

    def _inter_p(self, bits: BitWriter, s: Slice) -> bool:
        kind = self._rng.choice((0, 0, 1, 2, 3, 3, 4))
        if kind == 4 and 0 not in s.usable[0]:
            kind = 3
        bits.ue(kind)
        if kind < 3:
            parts = [1] * (1 if kind == 0 else 2)
            self._references(bits, s, 0, parts)
            for _ in parts:
                self._mvd(bits)
            return False
        subs = [self._rng.randrange(4) for _ in range(4)]
        for sub in subs:
            bits.ue(sub)
        if kind == 3:
            self._references(bits, s, 0, [1] * 4)
        else:
            s.used.add(("0", 0))
        for sub in subs:
            for _ in range(_P_SUB[sub][1]):
                self._mvd(bits)
        return any(subs)

    def _inter_b(self, bits: BitWriter, s: Slice) -> bool:
        rng = self._rng
        kind = rng.choice((0, 1, 2, 3, *range(4, 22), 22, 22, 22, 22, 22, 22)) if s.direct else rng.randint(1, 22)
        bits.ue(kind)
        if kind == 0:
            s.used |= {("0", 0), ("b", 0)}
            s.has_direct = True
            return not self.inference
        if kind < 22:
            parts = [kind] if kind < 4 else list(_B_PAIRS[(kind - 4) // 2])
            vectors = [1] * len(parts)
            small = False
        else:
            subs = [rng.randint(0 if s.direct else 1, 12) for _ in range(4)]
            for sub in subs:
                bits.ue(sub)
            parts, vectors = [_B_SUB[sub][0] for sub in subs], [_B_SUB[sub][1] for sub in subs]
            if 0 in subs:
                s.used |= {("0", 0), ("b", 0)}
                s.has_direct = True
            small = any(n > 1 for n in vectors) or (0 in subs and not self.inference)
        for which in range(2):
            self._references(bits, s, which, parts)
        for which in range(2):
            for prediction, n in zip(parts, vectors, strict=True):
                for _ in range(n if prediction >> which & 1 else 0):
                    self._mvd(bits)
        return small

    def _coded(self, bits: BitWriter, address: int, *, intra: bool, transform8x8: bool) -> None:
        """coded_block_pattern and what depends on it."""
        rng = self._rng
        luma = rng.randrange(16) if rng.random() < self.residual else 0
        chroma = rng.randrange(3) if rng.random() < self.residual else 0
        bits.ue((CBP_INTRA if intra else CBP_INTER).index(luma | chroma << 4))
        if transform8x8 and luma:
            bits.u(1, rng.randrange(2))
        if luma or chroma:
            self._delta_qp(bits)
        for i in range(16):
            if luma >> (i // 4) & 1:
                self._block(bits, address, "luma", i, 16)
        self._chroma(bits, address, chroma)

    def _chroma(self, bits: BitWriter, address: int, coded: int) -> None:
        if coded:
            for _ in range(2):
                residual_block(bits, self._levels(4), -1)
        if coded == 2:
            for plane in ("cb", "cr"):
                for i in range(4):
                    self._block(bits, address, plane, i, 15)

    def _delta_qp(self, bits: BitWriter) -> None:
        """mb_qp_delta (7.4.5), by either way round the 52 values."""
        qp = self._qp if self._rng.random() < 0.5 else self._rng.randint(0, 44)
        delta = qp - self._qp
        if not -26 <= delta <= 25:
            delta += 52 if delta < 0 else -52
        bits.se(delta)
        self._qp = qp

    def _levels(self, size: int) -> list[int]:
        """Levels whose residual stays far within 16 bits."""
        rng = self._rng
        # Half for the 8x8 transform and chroma's quantiser, which an offset may raise.
        qp = min(51, self._qp + 4)
        budget = max(1, 12000 // ((_SCALE[qp % 6] * 2 << (qp // 6)) or 1))
        levels = [0] * size
        count = min(rng.choice((0, 1, 1, 2, 3, 5, size)), size, budget)
        for place in range(count) if rng.random() < 0.5 else rng.sample(range(size), count):
            most = rng.choices((1, 3, 20, 2000), (10, 6, 3, 1))[0]
            level = rng.randint(1, max(1, min(most, (budget - count) // 4)))
            budget -= level
            levels[place] = rng.choice((-1, 1)) * level
            if budget <= 0:
                break
        return levels

    def _block(self, bits: BitWriter, address: int, plane: str, index: int, size: int, *, keep: bool = True) -> None:
        total = residual_block(bits, self._levels(size), self._context(address, plane, index))
        if keep:
            self._counts(address, plane)[index] = total

    def _counts(self, address: int, plane: str) -> list[int]:
        mb = self._done[address]
        return mb.luma if plane == "luma" else mb.chroma[plane == "cr"]

    def _context(self, address: int, plane: str, index: int) -> int:
        """nC (9.2.1) of a 4x4 block."""
        size = 16 if plane == "luma" else 8
        x = 4 * (index % 2) + 8 * (index // 4 % 2) if plane == "luma" else 4 * (index % 2)
        y = 4 * (index // 2 % 2) + 8 * (index // 8) if plane == "luma" else 4 * (index // 2)
        found = []
        for nx, ny in ((x - 1, y), (x, y - 1)):
            where = (address, nx, ny) if nx >= 0 and ny >= 0 else self._neighbour(address, nx, ny, size)
            if where is None:
                continue
            other, px, py = where
            if plane == "luma":
                block = px // 4 % 2 + 2 * (py // 4 % 2) + 4 * (px // 8) + 8 * (py // 8)
            else:
                block = px // 4 + 2 * (py // 4)
            found.append(self._counts(other, plane)[block])
        return (sum(found) + 1) // 2 if len(found) == 2 else sum(found)

    def _neighbour(self, address: int, x: int, y: int, size: int) -> tuple[int, int, int] | None:
        """The macroblock that covers (x, y), to the left or above, and the place in it (6.4.12)."""
        unit = address // 2 if self.mbaff else address
        if x < 0:
            other = unit - 1 if unit % self.width else -1
        elif self.mbaff and address % 2 and not self._done[address].field:
            return address - 1, x, y % size  # above in a frame pair: its own top macroblock
        else:
            other = unit - self.width
        first = 2 * other if self.mbaff else other
        if other < 0 or first not in self._done or self._done[first].slice != self._slices:
            return None
        if not self.mbaff:
            return first, x % size, y % size
        current, there = self._done[address].field, self._done[first].field
        bottom = address % 2
        if y < 0:
            return first + int(not (current and there and not bottom)), x, y % size
        if current == there:
            return first + bottom, x % size, y
        if not current:
            row = y + size * bottom  # a frame macroblock beside fields
            return first + row % 2, x % size, row // 2
        row = 2 * y + bottom  # a field macroblock beside frames
        return first + row // size, x % size, row % size
