"""Which coded pictures others may be predicted from, read from the first bytes of their packets."""

import av

from himmel.video.file.nal import NalUnits

# Codecs in which a picture shown before one that was decoded earlier is a B picture, and B pictures are no references.
_CLASSIC_B = frozenset({"mpeg1video", "mpeg2video", "mpeg4"})
# FFmpeg exports the vectors of these codecs' B pictures as zeros, whatever they are.
ZERO_B_VECTORS = frozenset({"mpeg4"})


class ReferenceRule:
    """Tells reference pictures and shown pictures for one stream.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: the stream's global header; for H.264 it says how NAL units are delimited (ISO 14496-15, 5.3.3.1).
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._units = NalUnits(extradata)

    def is_reference(self, packet: "av.Packet[av.VideoStream]", *, reordered: bool) -> bool:
        """Whether other pictures may be predicted from this one; True where the codec doesn't say.

        Args:
            reordered: a picture decoded before this one is shown after it.
        """
        if self._codec == "h264":
            return self._units.is_reference(memoryview(packet))
        return not (packet.is_disposable or (reordered and self._codec in _CLASSIC_B))

    def is_shown(self, packet: "av.Packet[av.VideoStream]") -> bool:
        """False for VP8's hidden pictures, which have packets of their own (RFC 6386, 9.1: show_frame)."""
        return self._codec != "vp8" or bool(memoryview(packet)[0] & 0x10)
