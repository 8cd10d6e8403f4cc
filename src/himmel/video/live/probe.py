"""What a keyframe says about the pictures from it on, and whether that differs from what was said before."""

from typing import Final

import av
from av.video.codeccontext import VideoCodecContext

from himmel.video.file.nal import NalUnits

# Kinds of units that describe a sequence: SPS of H.264 (Table 7-1); VPS and SPS of HEVC (Table 7-1 of H.265).
_SEQUENCE: Final = {"h264": frozenset({7}), "hevc": frozenset({32, 33})}


def sequence_sets(codec: str, header: bytes | None, data: bytes) -> bytes | None:
    """The parameter sets of a whole sequence that a keyframe's packet holds; None for codecs that keep none there.

    Args:
        header: the stream's global header.
    """
    kinds = _SEQUENCE.get(codec)
    if kinds is None:
        return None
    hevc = codec == "hevc"
    units = [unit for unit in NalUnits(header, hevc=hevc).units(data) if unit]
    # A unit may come with the beginning of what follows it: its head alone is compared, where the size is.
    return b"".join(unit[:64] for unit in units if ((unit[0] >> 1) & 63 if hevc else unit[0] & 31) in kinds)


def picture_size(decoder: str, header: bytes | None, data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels of a keyframe, by decoding it; None if it is damaged.

    Args:
        decoder: FFmpeg's name of one.
    """
    context = av.CodecContext.create(decoder, "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    if header is not None:
        context.extradata = header
    try:
        frames = [*context.decode(av.Packet(data)), *context.decode(None)]
    except av.FFmpegError:
        return None
    return (frames[0].width, frames[0].height) if frames else None
