"""Which coded pictures others may be predicted from, read from the first bytes of their packets."""

import av

_START_CODE = b"\x00\x00\x01"
# Codecs in which a picture shown before one that was decoded earlier is a B picture, and B pictures are no references.
_CLASSIC_B = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})
# FFmpeg exports the vectors of these codecs' B pictures as zeros, whatever they are.
ZERO_B_VECTORS = frozenset({"mpeg4"})


class ReferenceRule:
    """Tells reference pictures and shown pictures for one stream.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: the stream's global header; for H.264 it tells how NAL units are delimited (ISO 14496-15, 5.3.3.1).
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        is_avcc = extradata is not None and len(extradata) > 6 and extradata[0] == 1
        self._length_bytes = (extradata[4] & 3) + 1 if is_avcc and extradata is not None else 0

    def is_reference(self, packet: "av.Packet[av.VideoStream]", *, reordered: bool) -> bool:
        """Whether other pictures may be predicted from this one; True where the codec doesn't tell.

        Args:
            reordered: a picture decoded before this one is shown after it.
        """
        if self._codec == "h264":
            data = memoryview(packet)
            header = _avcc_slice(data, self._length_bytes) if self._length_bytes else _annex_b_slice(data)
            # nal_ref_idc (H.264, 7.4.1): 0 exactly if no other picture refers to this one.
            return header is None or bool(header & 0x60)
        return not (packet.is_disposable or (reordered and self._codec in _CLASSIC_B))

    def is_shown(self, packet: "av.Packet[av.VideoStream]") -> bool:
        """False for VP8's hidden pictures, which have packets of their own (RFC 6386, 9.1: show_frame)."""
        return self._codec != "vp8" or bool(memoryview(packet)[0] & 0x10)


def _avcc_slice(data: memoryview, length_bytes: int) -> int | None:
    """Header byte of the first slice among length-prefixed NAL units."""
    at = 0
    while at + length_bytes < len(data):
        header = data[at + length_bytes]
        if header & 0x1F in (1, 2, 5):
            return header
        at += length_bytes + int.from_bytes(data[at : at + length_bytes], "big")
    return None


def _annex_b_slice(data: memoryview) -> int | None:
    """Header byte of the first slice among NAL units with start codes."""
    # The slice mostly follows within a few bytes; a long SEI message before it is rare.
    for window in (bytes(data[:512]), bytes(data)):
        at = window.find(_START_CODE)
        while 0 <= at < len(window) - 3:
            header = window[at + 3]
            if header & 0x1F in (1, 2, 5):
                return header
            at = window.find(_START_CODE, at + 3)
    return None
