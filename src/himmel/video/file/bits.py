"""Bits of a NAL unit's payload, as H.264 and HEVC write them."""


class Bits:
    """Reads a payload bit by bit, without emulation prevention (ITU-T H.264, 7.4.1); EOFError at its end."""

    def __init__(self, data: bytes) -> None:
        payload = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(payload, "big"), 8 * len(payload)

    def u(self, count: int) -> int:
        """The next `count` bits as a number."""
        if count > self._left:
            raise EOFError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """An Exp-Golomb code (9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed one (9.1.1)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)
