"""Random, valid memory management operations (7.4.3.3)."""

from __future__ import annotations

import random

from writer_features import Features
from writer_references import FRAME, Buffer, Entry, Frame


def choose_marking(
    rng: random.Random, buffer: Buffer, current: Entry, features: Features, *, second: bool
) -> list[tuple[int, ...]] | None:
    """The operations of a reference picture, or None for the sliding window. The buffer is left as it was."""
    saved = (
        [(f, f.short, f.long, f.long_index) for f in [*buffer.frames, current[0]]],
        list(buffer.frames),
        buffer.long_limit,
    )
    try:
        return _Chooser(rng, buffer, current, features, second).choose()
    finally:
        for f, *state in saved[0]:
            f.short, f.long, f.long_index = state
        buffer.frames, buffer.long_limit = saved[1:]


class _Chooser:
    def __init__(self, rng: random.Random, buffer: Buffer, current: Entry, features: Features, second: bool) -> None:
        self.rng, self.buffer, self.current, self.features, self.second = rng, buffer, current, features, second
        self.operations: list[tuple[int, ...]] = []

    def choose(self) -> list[tuple[int, ...]] | None:
        rng, f, own = self.rng, self.features, self.current[0]
        if f.structures != ("frame",) and not all(o.exists for o in self._others()):
            return None  # FFmpeg marks one field alone of invented frames, and complains when both are released
        # frame_num must tell short-term pictures apart although it wraps.
        stale = [o for o in self._others() if o.short and own.age - o.age > self.buffer.max_frame_num // 2]
        # FFmpeg's sliding window complains of a frame of which one field is left.
        short = [o for o in self._others() if o.short]
        stuck = not short or min(short, key=lambda o: o.age).short != FRAME
        full = len(self._others()) >= self.buffer.max_frames and stuck
        joins_long = self.second and own.long
        if not (stale or full or joins_long or rng.random() < f.mmco):
            return None
        for frame in stale:
            self._release(frame, 1)
        if rng.random() < f.long_term and (not self.buffer.long_limit or rng.random() < 0.2) and not joins_long:
            self._do((4, rng.randint(0 if rng.random() < 0.2 else 1, 3)))
        for _ in range(rng.randrange(3)):
            self._random_operation()
        while len(self._others()) > self.buffer.max_frames - 1:
            frame = rng.choice(self._others())
            self._release(frame, 1 if frame.short else 2)
        if joins_long:
            self._do((6, own.long_index))
        elif (
            self.buffer.long_limit
            and not self.second
            and (f.long_pairs or self.current[1] == FRAME)
            and rng.random() < 0.5 * f.long_term
        ):
            self._do((6, rng.randrange(self.buffer.long_limit)))
        return self.operations

    def _others(self) -> list[Frame]:
        return [f for f in self.buffer.frames if f is not self.current[0] and (f.short or f.long)]

    def _do(self, operation: tuple[int, ...]) -> None:
        self.operations.append(operation)
        self.buffer.operate(operation, self.current)

    def _difference(self, entry: Entry) -> int:
        """difference_of_pic_nums_minus1 of a short-term entry."""
        own = self.current[0].frame_num if self.current[1] == FRAME else 2 * self.current[0].frame_num + 1
        return own - self.buffer.pic_num(entry, self.current) - 1

    def _parts(self, frame: Frame, kind: str) -> list[Entry]:
        return [e for e in self.buffer.marked(self.current, kind=kind) if e[0] is frame]

    def _release(self, frame: Frame, operation: int) -> None:
        """Operation 1 or 2 on all of a frame."""
        for entry in self._parts(frame, "short" if operation == 1 else "long"):
            number = self._difference(entry) if operation == 1 else self.buffer.pic_num(entry, self.current)
            self._do((operation, number))

    def _random_operation(self) -> None:
        rng = self.rng
        short = [f for f in self._others() if f.short]
        long = [f for f in self._others() if f.long]
        free = [
            i for i in range(self.buffer.long_limit) if not (self.current[0].long and self.current[0].long_index == i)
        ]
        roll = rng.random()
        if roll < 0.4 and short and len(self._others()) > 1:
            frame = rng.choice(short)
            # A frame with one field left cannot be named where frames are coded.
            if self.features.structures == ("field",) and rng.random() < 0.4:
                self._do((1, self._difference(rng.choice(self._parts(frame, "short")))))
            else:
                self._release(frame, 1)
        elif roll < 0.55 and long and len(self._others()) > 1:
            self._release(rng.choice(long), 2)
        elif free and (real := [f for f in short if f.exists]):
            frame, index = rng.choice(real), rng.choice(free)
            for entry in self._parts(frame, "short"):
                self._do((3, self._difference(entry), index))
