"""Bits of a header, one by one."""


class Bits:
    """Reads a header bit by bit, the first bit of each byte first; EOFError at its end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    @classmethod
    def of_nal(cls, data: bytes) -> "Bits":
        """Those of a NAL unit's payload of H.264 or HEVC, without emulation prevention (7.4.1)."""
        return cls(data.replace(b"\0\0\3", b"\0\0"))

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
