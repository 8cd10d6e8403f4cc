"""The decoded picture buffer of the stream writer: which pictures are references, and in which order lists name them.

Written apart from the engine, from clauses 8.2.4 and 8.2.5, so that the two check each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

TOP, BOTTOM, FRAME = 1, 2, 3


@dataclass(eq=False)
class Frame:
    """A frame, a field pair, or a frame invented for a gap; `short` and `long` are masks of TOP and BOTTOM."""

    number: int
    frame_num: int
    age: int  # reference pictures since the last IDR picture or operation 5, frame_num without wrapping
    poc: list[int | None] = field(default_factory=lambda: [None, None])
    short: int = 0
    long: int = 0
    long_index: int = 0
    exists: bool = True
    fields: bool = False  # coded as fields
    mbaff: bool = False
    reset: bool = False  # had operation 5
    used: dict[int, set[Entry]] = field(default_factory=dict)  # by structure: what a direct mode may find there

    def order(self, structure: int = FRAME) -> int:
        """PicOrderCnt() of the frame or one field (8.2.1)."""
        values = [p for p, s in zip(self.poc, (TOP, BOTTOM), strict=True) if s & structure and p is not None]
        return min(values)


Entry = tuple[Frame, int]


class Buffer:
    """Marking (8.2.5) and lists (8.2.4) for one stream."""

    def __init__(self, *, max_frames: int, max_frame_num: int, poc_type: int) -> None:
        self.frames: list[Frame] = []
        self.max_frames, self.max_frame_num, self.poc_type = max_frames, max_frame_num, poc_type
        self.long_limit = 0  # MaxLongTermFrameIdx + 1

    def pic_num(self, entry: Entry, current: Entry) -> int:
        """PicNum or LongTermPicNum (8.2.4.1)."""
        frame, structure = entry
        wrap = frame.frame_num - self.max_frame_num * (frame.frame_num > current[0].frame_num)
        base = frame.long_index if frame.long & structure else wrap
        return base if current[1] == FRAME else 2 * base + (structure == current[1])

    def marked(self, current: Entry, *, kind: str) -> list[Entry]:
        """All reference frames or fields of a kind, "short" or "long", that a picture may name."""
        parts = (FRAME,) if current[1] == FRAME else (TOP, BOTTOM)
        return [(f, s) for f in self.frames for s in parts if getattr(f, kind) & s == s]

    def initial(self, current: Entry, *, b: bool) -> list[list[Entry]]:
        """The lists before modification, untruncated (8.2.4.2)."""
        whole = current[1] == FRAME

        def chosen(kind: str) -> list[Frame]:
            return [f for f in self.frames if (getattr(f, kind) == FRAME if whole else getattr(f, kind))]

        short, long = chosen("short"), sorted(chosen("long"), key=lambda f: f.long_index)
        if b:
            if self.poc_type == 0:
                short = [f for f in short if f.exists]
            now = current[0].order(current[1])
            # A second field's own frame counts with its first field alone.
            order = {f.number: f.order(FRAME if f is not current[0] else 3 - current[1]) for f in short}
            past = sorted((f for f in short if order[f.number] <= now), key=lambda f: -order[f.number])
            future = sorted((f for f in short if order[f.number] > now), key=lambda f: order[f.number])
            orders = [past + future, future + past]
        else:
            orders = [sorted(short, key=lambda f: -f.age)]
        if whole:
            lists = [[(f, FRAME) for f in order + long] for order in orders]
        else:
            lists = [_alternate(o, current[1], "short") + _alternate(long, current[1], "long") for o in orders]
        if b and len(lists[1]) > 1 and lists[0] == lists[1]:
            lists[1][:2] = lists[1][1::-1]
        return lists

    def modifications(self, wanted: Sequence[Entry], current: Entry, wrap: Callable[[], bool]) -> list[tuple[int, int]]:
        """modification_of_pic_nums_idc and operand for each wanted entry (7.3.3.1); `wrap`: go round the other way."""
        limit = self.max_frame_num * (1 if current[1] == FRAME else 2)
        predicted = _own_number(current)
        result = []
        for entry in wanted:
            number = self.pic_num(entry, current)
            if entry[0].long & entry[1]:
                result.append((2, number))
                continue
            up = (number - predicted) % limit
            step = up if up and wrap() else up - limit
            result.append((int(step > 0), abs(step) - 1))
            predicted = number % limit
        return result

    def modified(self, initial: list[Entry], wanted: Sequence[Entry], count: int) -> list[Entry | None]:
        """The list of `count` entries with the `wanted` ones moved to its front (8.2.4.3)."""
        entries: list[Entry | None] = [*initial[:count], *([None] * (count - len(initial)))]
        for place, entry in enumerate(wanted):
            entries = [*entries[:place], entry, *(e for e in entries[place:] if e != entry)][:count]
        return entries

    def slide(self, current: Frame) -> None:
        """The sliding window before `current` is marked (8.2.5.3)."""
        held = [f for f in self.frames if (f.short or f.long) and f is not current]
        if len(held) >= self.max_frames:
            oldest = min((f for f in held if f.short), key=lambda f: f.age)
            oldest.short = 0
        self.tidy()

    def tidy(self) -> None:
        """Forget frames that are no references."""
        self.frames = [f for f in self.frames if f.short or f.long]

    def operate(self, operation: tuple[int, ...], current: Entry) -> None:
        """One memory_management_control_operation (8.2.5.4)."""
        op, *operands = operation
        frame, structure = current
        if op == 1:
            number = _own_number(current) - operands[0] - 1
            hit, part = self._find(number, current, "short")
            hit.short &= ~part
        elif op == 2:
            hit, part = self._find(operands[0], current, "long")
            hit.long &= ~part
        elif op == 3:
            hit, part = self._find(_own_number(current) - operands[0] - 1, current, "short")
            self._free(operands[1], hit)
            hit.short &= ~part
            hit.long |= part
            hit.long_index = operands[1]
        elif op == 4:
            self.long_limit = operands[0]
            for f in self.frames:
                if f.long and f.long_index >= self.long_limit:
                    f.long = 0
        elif op == 5:
            for f in self.frames:
                f.short = f.long = 0
            self.long_limit = 0
        elif op == 6:
            self._free(operands[0], frame)
            frame.long |= structure
            frame.long_index = operands[0]

    def _find(self, number: int, current: Entry, kind: str) -> Entry:
        return next(e for e in self.marked(current, kind=kind) if self.pic_num(e, current) == number)

    def _free(self, index: int, keep: Frame) -> None:
        for f in self.frames:
            if f.long and f.long_index == index and f is not keep:
                f.long = 0


def _own_number(current: Entry) -> int:
    """CurrPicNum (7.4.3)."""
    return current[0].frame_num if current[1] == FRAME else 2 * current[0].frame_num + 1


def _alternate(frames: list[Frame], parity: int, kind: str) -> list[Entry]:
    """Fields of frames in turn, beginning with the current parity (8.2.4.2.5)."""
    same = [(f, parity) for f in frames if getattr(f, kind) & parity]
    other = [(f, 3 - parity) for f in frames if getattr(f, kind) & (3 - parity)]
    common = min(len(same), len(other))
    mixed = [e for pair in zip(same, other, strict=False) for e in pair]
    return mixed + same[common:] + other[common:]
