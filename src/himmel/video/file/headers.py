"""Global headers that change in the middle of a file: decoders get each part's parameter sets with its packets.

An MP4 may have several sample descriptions (ISO 14496-12, 8.5.2), an FLV sends a new sequence header: FFmpeg hands
it on once, with the first packet after it. Whoever begins to read somewhere else would decode with another part's.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import av

from himmel.video.file.nal import NalUnits
from himmel.video.file.pyav import PACKETS_HAVE_SIDE_DATA

_START_CODES = (b"\x00\x00\x00\x01", b"\x00\x00\x01")
# Longer units have no place behind a length of so many bytes; start codes take any.
_UNIT_BYTES = {0: 2**32, 1: 2**8, 2: 2**16, 3: 2**24, 4: 2**32}
# HEVCDecoderConfigurationRecord (ISO 14496-15, 8.3.3.1): the bytes before its arrays of units.
_HEVC_BYTES = 22


def new_header(packet: "av.Packet[Any]") -> bytes | None:
    """The global header that holds from a demuxed packet on, where the container names one.

    Under a PyAV that does not hand them on there is none; `whole.note_changes` says so where it matters.
    """
    if not PACKETS_HAVE_SIDE_DATA or not packet.has_sidedata("new_extradata"):
        return None
    return bytes(packet.get_sidedata("new_extradata"))


class HeaderChanges:
    """Prepares the packets of one stretch of a stream, in decode order, for a decoder set up with the first header.

    Args:
        codec: FFmpeg's name.
        first: the global header with which the stream begins.
        changes: (number of the packet from which it holds, global header), by number.
    """

    def __init__(self, codec: str, first: bytes | None, changes: Sequence[tuple[int, bytes]]) -> None:
        self._codec = codec
        self._starts = [0, *(at for at, _ in changes)]
        self._headers = [first or b"", *(header for _, header in changes)]
        self._base = self._header = _Header(codec, self._headers[0])
        self._part = -1

    def prepare(self, number: int, packet: "av.Packet[Any] | bytes") -> "av.Packet[Any] | bytes":
        """The packet, behind its parameter sets if it is the first that is read of its part."""
        part, base = bisect_right(self._starts, number) - 1, self._base
        begins = part != self._part
        if begins:
            self._part, self._header = part, _Header(self._codec, self._headers[part])
        header = self._header
        if not header.in_band or bool(header.length_bytes) != bool(base.length_bytes):
            # These sets cannot go into the stream. FFmpeg's own packet may still be understood.
            return packet
        sets = base.frame(header.sets) if begins else b""
        if header.length_bytes == base.length_bytes:
            return sets + bytes(packet)
        return sets + base.frame(header.split(bytes(packet)))


class _Header:
    """A global header taken apart.

    Attributes:
        sets: its parameter sets.
        length_bytes: how long the lengths before units are; 0 for start codes.
        in_band: its parameter sets can also be put into the stream.
    """

    def __init__(self, codec: str, extradata: bytes) -> None:
        self.length_bytes = 0
        if codec == "h264" and extradata[:1] == b"\x01":
            self.length_bytes = (extradata[4] & 3) + 1 if len(extradata) > 6 else 4
            self.sets = list(NalUnits(extradata).parameter_sets())
        elif codec == "hevc" and extradata[:1] == b"\x01" and len(extradata) > _HEVC_BYTES:
            self.length_bytes = (extradata[_HEVC_BYTES - 1] & 3) + 1
            self.sets = list(NalUnits(extradata, hevc=True).parameter_sets())
        else:
            self.sets = [extradata]
        self.in_band = bool(self.length_bytes) or extradata.startswith(_START_CODES)

    def frame(self, units: Sequence[bytes]) -> bytes:
        """Units, each after its length; units that are too long for that are left out."""
        size = self.length_bytes
        return b"".join(
            len(unit).to_bytes(size) + unit if size else unit for unit in units if len(unit) < _UNIT_BYTES[size]
        )

    def split(self, data: bytes) -> list[bytes]:
        """The units of a packet."""
        if not self.length_bytes:
            return [data]
        units, at = [], 0
        while at + self.length_bytes < len(data):
            begin = at + self.length_bytes
            at = begin + int.from_bytes(data[at:begin])
            units.append(data[begin:at])
        return units
