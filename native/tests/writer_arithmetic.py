"""The arithmetic encoder of CABAC (9.3.4.2 to 9.3.4.5) and its context variables (9.3.1.1).

The constants are read from the engine's sources. A wrong one would be found: FFmpeg, which has its own, decodes what is
written here.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from writer_bits import BitWriter

_SOURCES = [Path(__file__).parents[1] / "src" / name for name in ("common/arithmetic.cpp", "h264/cabac_tables.cpp")]


@functools.cache
def table(name: str) -> tuple[int, ...]:
    """All numbers of one of the engine's constant arrays in a row."""
    text = re.sub(r"//.*", "", "".join(source.read_text() for source in _SOURCES))
    found = re.search(rf"\b{name}(?:\[\d+\])+ = \{{(.*?)\}};", text, re.DOTALL)
    if not found:
        raise LookupError(name)
    return tuple(int(number) for number in re.findall(r"-?\d+", found.group(1)))


@functools.cache
def _initial(qp: int, initialisation: int) -> tuple[tuple[int, int], ...]:
    """pStateIdx and valMPS of all contexts (9.3.1.1)."""
    numbers = table("kCabacInit")[2048 * initialisation : 2048 * (initialisation + 1)]
    states = []
    for m, n in zip(numbers[::2], numbers[1::2], strict=True):
        state = max(1, min(126, (m * max(0, min(51, qp)) >> 4) + n))
        states.append((63 - state, 0) if state <= 63 else (state - 64, 1))
    return tuple(states)


class ArithmeticEncoder:
    """Bins of one slice; `initialisation` is 0 for I slices, else 1 + cabac_init_idc."""

    def __init__(self, bits: BitWriter, *, qp: int, initialisation: int) -> None:
        self._bits = bits
        self._least, self._next = table("kRangeLps"), table("kNextStateLps")
        self.initialisation = initialisation
        self._states = list(_initial(qp, initialisation))
        self.start()

    def start(self) -> None:
        """Registers at the start of slice data and after the samples of I_PCM (9.3.4.1)."""
        self._low, self._range, self._outstanding, self._first = 0, 510, 0, True

    def decision(self, context: int, value: int) -> None:
        """A bin with a context (9.3.4.2)."""
        state, likely = self._states[context]
        least = self._least[4 * state + (self._range >> 6 & 3)]
        self._range -= least
        if value == likely:
            state = min(state + 1, 62)
        else:
            self._low += self._range
            self._range = least
            likely ^= state == 0
            state = self._next[state]
        self._states[context] = state, likely
        if self._range < 256:
            self._renormalise()

    def bypass(self, value: int) -> None:
        """A bin of even odds (9.3.4.4)."""
        self._low = 2 * self._low + value * self._range
        if self._low >= 1024:
            self._low -= 1024
            self._put(1)
        elif self._low < 512:
            self._put(0)
        else:
            self._low -= 512
            self._outstanding += 1

    def terminate(self, value: int) -> None:
        """end_of_slice_flag, and the bin that tells I_PCM (9.3.4.5); 1 flushes, with a last bit of 1."""
        self._range -= 2
        if not value:
            self._renormalise()
            return
        self._low += self._range
        self._range = 2
        self._renormalise()
        self._put(self._low >> 9 & 1)
        self._bits.u(2, self._low >> 7 & 3 | 1)

    def suffix(self, value: int, order: int) -> None:
        """An Exp-Golomb code of order k in bypass bins (9.3.2.3)."""
        while value >= 1 << order:
            self.bypass(1)
            value -= 1 << order
            order += 1
        self.bypass(0)
        for bit in range(order - 1, -1, -1):
            self.bypass(value >> bit & 1)

    def _renormalise(self) -> None:
        while self._range < 256:
            if self._low < 256:
                self._put(0)
            elif self._low >= 512:
                self._low -= 512
                self._put(1)
            else:
                self._low -= 256
                self._outstanding += 1
            self._range *= 2
            self._low *= 2

    def _put(self, bit: int) -> None:
        if self._first:
            self._first = False
        else:
            self._bits.raw("01"[bit])
        if self._outstanding:
            self._bits.raw(str(1 - bit) * self._outstanding)
            self._outstanding = 0
