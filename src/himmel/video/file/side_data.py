"""What FFmpeg attaches to a decoded picture: motion vectors, a display matrix."""

from fractions import Fraction

import av
from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.frame import VideoFrame

# FFmpeg counts its kinds of side data from 0 and adds a few each year.
_KINDS = 64


def side_data(frame: VideoFrame, kind: str) -> SideData | None:
    """The side data of one kind, by FFmpeg's name without its prefix; None if the picture has none.

    PyAV refuses all side data of a picture if one kind is newer than PyAV (Exif, the views of MV-HEVC): then it is
    asked again about the same picture without the kinds that it doesn't know.
    """
    try:
        found = _container(frame).get(kind)
    except ValueError:
        found = _container(_without_unknown_kinds(frame)).get(kind)
    return found if isinstance(found, SideData) else None


def _container(frame: VideoFrame) -> SideDataContainer:
    """What `frame.side_data` gives, but without the picture referring to it.

    If each refers to the other, the picture's memory is freed by Python's collector alone, seldom and late.
    """
    return SideDataContainer(frame)  # type: ignore[call-arg]  # PyAV's stub leaves its constructor out


def _without_unknown_kinds(frame: VideoFrame) -> VideoFrame:
    """The same picture, its samples shared, as it leaves FFmpeg's filter that deletes side data."""
    known = {kind.value for kind in Type}
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    for number in sorted(set(range(_KINDS)) - known):
        deleting = graph.add("sidedata", f"mode=delete:type={number}")
        last.link_to(deleting)
        last = deleting
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    kept = graph.pull()
    assert isinstance(kept, VideoFrame)
    return kept
