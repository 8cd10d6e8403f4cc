"""NAL units of H.264 and HEVC packets (ITU-T H.264, 7.3.1), found without reading what they hold."""

from collections.abc import Iterator
from itertools import pairwise

_START_CODE = b"\x00\x00\x01"
# Coded slices; data partition A begins like one (Table 7-1).
_SLICES = frozenset({1, 2, 5})
_UNIT_BYTES = 4096


class NalUnits:
    """Finds NAL units in packets, whichever way the container delimits them.

    Args:
        extradata: an avcC record (ISO 14496-15, 5.3.3.1): units have lengths before them; anything else: start codes.
        hevc: the stream is HEVC, and the record an hvcC (8.3.3.1): then only `units` and `parameter_sets` apply.
    """

    def __init__(self, extradata: bytes | None, *, hevc: bool = False) -> None:
        self._extradata = extradata or b""
        self._hevc = hevc
        # The size of lengths comes in a record after what it says about the profile.
        at = 21 if hevc else 4
        is_record = len(self._extradata) > at + 2 and self._extradata[0] == 1
        self._length_bytes = (self._extradata[at] & 3) + 1 if is_record else 0

    def units(self, data: bytes) -> Iterator[bytes]:
        """A packet's units in order, each as far as 4096 bytes; more may follow the end of a short one."""
        size = self._length_bytes
        if not size:
            yield from (data[at : at + _UNIT_BYTES] for at in _starts(data) if at < len(data))
            return
        at = 0
        while at + size < len(data):
            yield data[at + size : at + size + _UNIT_BYTES]
            at += size + int.from_bytes(data[at : at + size], "big")

    def first_slice(self, data: memoryview) -> int | None:
        """Where the header byte of a packet's first slice is."""
        at = self._length_bytes
        if at:
            # Nearly always the first unit is one.
            return at if len(data) > at and data[at] & 0x1F in _SLICES else next(self._avcc_slices(data), None)
        # The slice mostly follows within a few bytes; a long SEI message before it is rare.
        for window in (bytes(data[:512]), bytes(data)):
            found = next(_annex_b_slices(window), None)
            if found is not None:
                return found
        return None

    def is_reference(self, data: memoryview) -> bool:
        """Whether other pictures may refer to a packet's (nal_ref_idc, 7.4.1); True if no slice begins in `data`."""
        at = self.first_slice(data)
        return at is None or data[at] & 0x60 != 0

    def last_slice(self, data: memoryview) -> int | None:
        """Where the header byte of a packet's last slice is."""
        return max(self._avcc_slices(data) if self._length_bytes else _annex_b_slices(bytes(data)), default=None)

    def parameter_sets(self) -> Iterator[bytes]:
        """The units that the global header holds."""
        data, size = self._extradata, len(self._extradata)
        if not self._length_bytes:
            starts = [*_starts(data), size + len(_START_CODE)]
            yield from (
                data[at : end - len(_START_CODE)].rstrip(b"\0") for at, end in pairwise(starts) if at < len(data)
            )
            return
        # avcC: a count of sequence sets and one of picture sets; hvcC: arrays, each with a kind and a count.
        at = 23 if self._hevc else 5
        for mask in [0xFFFF] * data[22] if self._hevc else [31, 255]:
            width = 2 if self._hevc else 1
            at += self._hevc
            count, at = int.from_bytes(data[at : at + width], "big") & mask, at + width
            for _ in range(count):
                length = int.from_bytes(data[at : at + 2], "big")
                if 0 < length <= size - at - 2:
                    yield data[at + 2 : at + 2 + length]
                at += 2 + length
                if at >= size:
                    return

    def _avcc_slices(self, data: memoryview) -> Iterator[int]:
        at, size = 0, len(data)
        while at + self._length_bytes < size:
            if data[at + self._length_bytes] & 0x1F in _SLICES:
                yield at + self._length_bytes
            at += self._length_bytes + int.from_bytes(data[at : at + self._length_bytes], "big")


def _annex_b_slices(data: bytes) -> Iterator[int]:
    return (at for at in _starts(data) if at < len(data) and data[at] & 0x1F in _SLICES)


def _starts(data: bytes) -> Iterator[int]:
    """Where NAL units begin among start codes (B.1.1)."""
    at = data.find(_START_CODE)
    while at >= 0:
        yield at + len(_START_CODE)
        at = data.find(_START_CODE, at + len(_START_CODE))
