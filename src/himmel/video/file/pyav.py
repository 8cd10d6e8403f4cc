"""Where the releases of PyAV that himmel works with differ: what older ones lack, and what newer ones insist on."""

from typing import Any

import av

_RELEASE = tuple(int(part) for part in av.__version__.split(".")[:2])

# Packets come with what the container says about them, such as a new global header.
PACKETS_HAVE_SIDE_DATA = _RELEASE >= (16, 0)
# `stream.index_entries`, FFmpeg's own table of an MP4's pictures: without it, packets are walked, which takes longer.
STREAMS_HAVE_AN_INDEX = _RELEASE >= (17, 0)
# `stream.discard`: without it, packets of other streams are read, and then left out.
STREAMS_CAN_BE_DISCARDED = _RELEASE >= (17, 1)
# Arguments by which pictures are converted on one thread; releases before 17 know no other way.
ONE_THREAD: dict[str, Any] = {"threads": 1} if _RELEASE >= (17, 0) else {}
# FFmpeg 7 makes the last column of 4:2:0 chroma of an RGB picture of odd width from memory behind the row.
HALVES_ODD_RGB = av.library_versions["libavcodec"] >= (62,)
# Before release 19, PyAV refuses files whose metadata are not UTF-8 unless told not to; later ones never do.
LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if _RELEASE < (19, 0) else {}
# Before release 16, pictures of full range are encoded as those of limited range, with other values.
KEEPS_FULL_RANGE = _RELEASE >= (16, 0)
