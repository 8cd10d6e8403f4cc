"""Random, valid H.264 streams for tests: what the encoders at hand do not write.

`write_stream(seed, FEATURES["marking"])` gives an Annex B stream and what a reader of it should find: order counts,
reference lists and marking follow clauses 7.4.3, 8.2.1, 8.2.4 and 8.2.5; the macroblocks are random
(writer_macroblocks).
Deblocking is always off, so that prediction plus residual is the decoded picture.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from writer_bits import BitWriter, nal
from writer_features import Features
from writer_marking import choose_marking
from writer_references import BOTTOM, FRAME, TOP, Buffer, Frame
from writer_sets import Pps, Sps
from writer_slices import CodedPicture, WrittenSlice, write_slices


@dataclass
class WrittenPicture:
    """A coded picture: a frame (structure 3) or one field (1 top, 2 bottom) of frame `frame`, in decoding order.

    `poc` is PicOrderCnt() before memory management operation 5 (then `reset`); (period, shown) sorts frames into
    output order.
    """

    frame: int
    structure: int
    poc: int
    period: int
    shown: int
    reference: bool
    idr: bool
    mbaff: bool
    reset: bool
    slices: list[WrittenSlice] = field(default_factory=list)


@dataclass
class WrittenStream:
    """`units` are the access units, one per coded picture, in decoding order; `sizes` of each frame in luma samples."""

    units: list[bytes] = field(default_factory=list)
    pictures: list[WrittenPicture] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """The whole Annex B stream."""
        return b"".join(self.units)

    @property
    def shown(self) -> list[int]:
        """Frame numbers in output order."""
        keys = {p.frame: (p.period, p.shown) for p in self.pictures}
        return sorted(keys, key=lambda n: keys[n])


@dataclass
class _Slot:
    shown: int  # place in presentation order within the period
    kind: str
    reference: bool
    idr: bool = False
    may_reset: bool = False  # everything shown earlier is decoded earlier


def write_stream(seed: int, features: Features) -> WrittenStream:
    """A random stream; the same for the same arguments."""
    return _Writer(random.Random(seed * 1000003 + 17), features).run()


class _Writer:
    def __init__(self, rng: random.Random, features: Features) -> None:
        self.rng, self.features = rng, features
        self.temporal = rng.random() < 2 * features.temporal
        self.delimiters = rng.random() < 0.3
        self.stream = WrittenStream()
        self.period = -1
        self.idr_id = rng.randrange(100)

    def run(self) -> WrittenStream:
        for i in range(self.rng.choice(self.features.periods)):
            self.prefix = b""
            if i == 0 or self.rng.random() < self.features.size_change:
                self._new_sequence()
            self.period += 1
            self.first_shown = 0
            for slot in self._schedule(self.rng.randint(*self.features.length)):
                self._frame(slot)
        return self.stream

    def _new_sequence(self) -> None:
        rng, f = self.rng, self.features
        laced = f.structures != ("frame",)
        poc_type = rng.choice(f.poc_types)
        self.top_first = rng.random() < 0.6
        self.sps = Sps(
            width=rng.randint(4, 6),
            height=rng.choice((4, 6)) if laced else rng.randint(4, 6),
            laced=laced,
            mbaff="mbaff" in f.structures,
            profile=100 if 1 in f.transform8x8 else 77,
            frame_num_bits=8 if self.temporal else rng.choice((4, 4, 5, 9)),
            poc_type=poc_type,
            poc_bits=rng.choice((6, 6, 7, 10)),
            max_frames=rng.choice(f.max_frames),
            gaps=f.gaps > 0,
            inference=bool(rng.choice(f.inference)),
            reorder=0 if poc_type == 2 else 12 if f.gaps else 5,  # FFmpeg counts invented frames
            offset_non_ref=rng.randint(-4, 2),
            offset_bottom=1 if self.top_first else -1,
            cycle=[rng.randint(0, 6) for _ in range(rng.randrange(4))],
        )
        self.spacing = rng.choice((1, 2))
        self.buffer = Buffer(
            max_frames=self.sps.max_frames, max_frame_num=1 << self.sps.frame_num_bits, poc_type=poc_type
        )
        self.pps = [self._new_pps(i) for i in range(2)]
        self.prefix += self.sps.unit() + self.pps[0].unit() + self.pps[1].unit()

    def _new_pps(self, number: int) -> Pps:
        rng, f = self.rng, self.features
        return Pps(
            number=number,
            poc_present=rng.random() < 0.5,
            counts=(rng.randint(1, 3), rng.randint(1, 3)),
            weighted=rng.choice(f.weighted),
            weighted_bipred=rng.choice(f.weighted_bipred),
            qp=rng.randint(20, 32),
            chroma_offset=rng.randint(-3, 3),
            constrained=rng.random() < 0.3,
            transform8x8=bool(rng.choice(f.transform8x8)),
            cabac=f.cabac > 0 and rng.random() < f.cabac,
        )

    def _schedule(self, length: int) -> list[_Slot]:
        """Anchors with pictures between that are decoded after them, in any order."""
        rng, f = self.rng, self.features
        slots = [_Slot(0, "I", True, idr=True)]
        while len(slots) < length:
            last = max(s.shown for s in slots)
            ahead = rng.randint(1, 4) if f.b and self.sps.poc_type != 2 else 1
            kind = "I" if rng.random() < 0.08 else "B" if f.b and rng.random() < 0.25 else "P"
            # Order count type 2 allows no two non-reference pictures in a row (7.4.2.1.1).
            reference = rng.random() < 0.8 or not slots[-1].reference or ahead > 1
            slots.append(_Slot(last + ahead, kind, reference, may_reset=ahead == 1))
            between = list(range(last + 1, last + ahead))
            rng.shuffle(between)
            slots += [_Slot(d, "B" if rng.random() < f.b else "P", rng.random() < 0.4) for d in between]
        return slots

    def _frame(self, slot: _Slot) -> None:
        rng, f = self.rng, self.features
        if slot.idr:
            self.age = self.poc_msb = self.poc_lsb = 0
            self.after_reference = True
            self.buffer.frames = []
        elif f.gaps and rng.random() < f.gaps and self.after_reference:
            self._gap(rng.randint(1, 3))
        if rng.random() < f.pps_change:
            changed = rng.randrange(2)
            self.pps[changed] = self._new_pps(changed)
            self.prefix += self.pps[changed].unit()
        age = 0 if slot.idr else self.age + 1
        coded_as = rng.choice(f.structures)
        frame = Frame(
            len(self.stream.sizes),
            age % self.buffer.max_frame_num,
            age,
            fields=coded_as == "field",
            mbaff=coded_as == "mbaff",
        )
        self.stream.sizes.append((16 * self.sps.width, 16 * self.sps.height))
        reset = slot.may_reset and slot.reference and coded_as != "field" and rng.random() < f.mmco5
        if reset:
            self.period += 1
        parts = (TOP, BOTTOM) if self.top_first else (BOTTOM, TOP)
        for i, structure in enumerate(parts if coded_as == "field" else (FRAME,)):
            self._picture(slot, frame, structure, second=i == 1, reset=reset)
        self.after_reference = slot.reference
        if slot.reference:
            self.age = frame.age
        if reset:
            self.first_shown = slot.shown

    def _gap(self, count: int) -> None:
        """Frames that frame_num passes over (8.2.5.2)."""
        for _ in range(count):
            self.age += 1
            frame = Frame(-1, self.age % self.buffer.max_frame_num, self.age, exists=False, fields=False)
            if self.sps.poc_type:
                order = self._expected(self.age, reference=True)
                frame.poc = [order, order + (self.sps.offset_bottom if self.sps.poc_type == 1 else 0)]
            self.buffer.slide(frame)
            frame.short = FRAME
            self.buffer.frames.append(frame)

    def _expected(self, age: int, *, reference: bool) -> int:
        """expectedPicOrderCnt of type 1 (8.2.1.2), tempPicOrderCnt of type 2 (8.2.1.3)."""
        sps = self.sps
        if sps.poc_type == 2:
            return max(0, 2 * age - (not reference))
        count = max(0, age - (not reference)) if sps.cycle else 0
        rounds, rest = divmod(max(0, count - 1), max(1, len(sps.cycle)))
        order = rounds * sum(sps.cycle) + sum(sps.cycle[: rest + 1]) if count else 0
        return order + (0 if reference else sps.offset_non_ref)

    def _order(self, slot: _Slot, frame: Frame, structure: int, pps: Pps) -> list[tuple[str, int]]:
        """Set the order counts of a picture; give its syntax elements as ("lsb" or "se", value)."""
        sps = self.sps
        expected = self._expected(frame.age, reference=slot.reference) if sps.poc_type else 0
        if sps.poc_type == 2:
            frame.poc = [expected if s & structure else p for s, p in zip((TOP, BOTTOM), frame.poc, strict=True)]
            return []
        first = 2 * self.spacing * (slot.shown - self.first_shown)
        apart = 1
        if structure == FRAME and (pps.poc_present or sps.poc_type == 0):
            apart = self.rng.randrange(2) if pps.poc_present else 0
        both = [first, first + apart] if self.top_first else [first + apart, first]
        frame.poc = [w if s & structure else p for w, s, p in zip(both, (TOP, BOTTOM), frame.poc, strict=True)]
        mine = both[structure == BOTTOM]
        if sps.poc_type == 0:
            size = 1 << sps.poc_bits
            lsb = mine % size
            msb = self.poc_msb
            if lsb < self.poc_lsb and self.poc_lsb - lsb >= size // 2:
                msb += size
            elif lsb > self.poc_lsb and lsb - self.poc_lsb > size // 2:
                msb -= size
            if msb + lsb != mine:
                raise AssertionError("order count is not clear from its low bits")
            if slot.reference:
                self.poc_msb, self.poc_lsb = msb, lsb
            return [("lsb", lsb)] + ([("se", both[1] - both[0])] if pps.poc_present and structure == FRAME else [])
        if structure == BOTTOM:
            return [("se", mine - expected - sps.offset_bottom)]
        values = [("se", mine - expected)]
        if pps.poc_present and structure == FRAME:
            values.append(("se", both[1] - both[0] - sps.offset_bottom))
        return values

    def _picture(self, slot: _Slot, frame: Frame, structure: int, *, second: bool, reset: bool) -> None:
        rng, f, sps = self.rng, self.features, self.sps
        current = (frame, structure)
        pps = rng.choice(self.pps)
        order = self._order(slot, frame, structure, pps)
        idr = slot.idr and not second
        unit = (nal(0, 9, b"\xf0") if self.delimiters else b"") + self.prefix
        self.prefix = b""
        kind = rng.choice("IPP") if slot.kind == "I" and second else slot.kind
        if kind == "B" and not f.reset_b and any(held.reset for held in self.buffer.frames):
            kind = "P"
        if kind == "I" and not idr and not second and rng.random() < 2 * f.recovery:
            unit += _recovery_point(rng)
        operations: list[tuple[int, ...]] | None = None
        long_term = idr and (f.long_pairs or structure == FRAME) and rng.random() < f.long_term
        if reset:
            operations = [(5,)]
        elif slot.reference and not idr:
            operations = choose_marking(rng, self.buffer, current, f, second=second)
        written = WrittenPicture(
            frame=frame.number,
            structure=structure,
            poc=frame.order(structure),
            period=self.period,
            shown=slot.shown,
            reference=slot.reference,
            idr=idr,
            mbaff=sps.mbaff and structure == FRAME,
            reset=reset,
        )
        marking = BitWriter()
        if idr:
            self.idr_id = (self.idr_id + 1) % 65536
            marking.u(1, 0)
            marking.u(1, int(long_term))
        elif slot.reference:
            marking.u(1, int(operations is not None))
            for operation in [*(operations or []), (0,)] if operations is not None else []:
                for value in operation:
                    marking.ue(value)
        coded = CodedPicture(
            current=current,
            kind=kind,
            ref_idc=rng.randint(1, 3) if slot.reference else 0,
            idr_id=self.idr_id if idr else None,
            order=order,
            marking=marking.bits if slot.reference else "",
            temporal=self.temporal,
        )
        units, written.slices = write_slices(rng, f, sps, pps, self.buffer, coded)
        self.stream.units.append(unit + units)
        self.stream.pictures.append(written)
        if slot.reference:
            self._mark(frame, structure, idr, long_term, operations, second)

    def _mark(
        self,
        frame: Frame,
        structure: int,
        idr: bool,
        long_term: bool,
        operations: list[tuple[int, ...]] | None,
        second: bool,
    ) -> None:
        """Marking of the current picture (8.2.5.1), and what operation 5 makes of its numbers (8.2.1)."""
        buffer = self.buffer
        if idr:
            buffer.frames, buffer.long_limit = [], int(long_term)
            if long_term:
                frame.long, frame.long_index = structure, 0
        elif operations is None:
            if not (second and frame.short):
                buffer.slide(frame)
        else:
            for operation in operations:
                buffer.operate(operation, (frame, structure))
        if (5,) in (operations or []):
            least = frame.order()
            frame.poc = [p - least for p in frame.poc if p is not None]
            frame.age = frame.frame_num = 0
            frame.reset = True
            self.poc_msb, self.poc_lsb = 0, frame.poc[0] or 0
        if not frame.long & structure:
            frame.short |= structure
        if frame not in buffer.frames:
            buffer.frames.append(frame)
        buffer.tidy()


def _recovery_point(rng: random.Random) -> bytes:
    """A recovery point SEI message (D.1.8)."""
    payload = BitWriter()
    payload.ue(rng.randrange(3))
    payload.u(4, 0b1000)
    payload.trailing()
    w = BitWriter()
    w.data(bytes([6, payload.length // 8]) + payload.bytes())
    w.trailing()
    return nal(0, 6, w.bytes())
