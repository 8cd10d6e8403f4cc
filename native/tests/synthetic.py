"""Written streams as users meet them: demuxed and decoded by FFmpeg, read by the engine, compared by picture."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import av.logging
import numpy as np
import numpy.typing as npt
from reconstruct import rebuild
from writer import WrittenStream

from himmel_bitstream import INTRA, Picture, Stream

Plane = npt.NDArray[np.int32]


def packets(stream: WrittenStream, container: str = "h264") -> tuple[bytes | None, list[bytes]]:
    """Extradata and packets as users meet them.

    Args:
        stream: what was written.
        container: "h264" as FFmpeg demuxes it raw, which makes a packet of every field; "mp4", "matroska" or
            "mpegts", remuxed from there;
            "pairs", raw with both fields of a frame in one packet, as recorders write them.
    """
    if container == "pairs":
        joined: dict[int, bytes] = {}
        for unit, picture in zip(stream.units, stream.pictures, strict=True):
            joined[picture.frame] = joined.get(picture.frame, b"") + unit
        return None, list(joined.values())
    with av.open(io.BytesIO(stream.data), format="h264") as source:
        video = source.streams.video[0]
        raw = [packet for packet in source.demux(video) if packet.size]
        if container == "h264":
            return video.codec_context.extradata, [bytes(packet) for packet in raw]
        target = io.BytesIO()
        with av.open(target, "w", format=container) as sink:
            copy = sink.add_stream_from_template(video)
            for k, packet in enumerate(raw):
                # Raw H.264 has no times; any that rise will do to store it.
                packet.pts = packet.dts = k * int(0.02 / packet.time_base)
                packet.stream = copy
                sink.mux(packet)
    target.seek(0)
    with av.open(target, format=container) as source:
        video = source.streams.video[0]
        return video.codec_context.extradata, [bytes(packet) for packet in source.demux(video) if packet.size]


def decode(stream: WrittenStream) -> tuple[list[list[Plane]], list[str]]:
    """FFmpeg's pictures in output order, and what it complains of."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    frames = []
    try:
        with (
            av.logging.Capture(local=False) as log,
            av.open(io.BytesIO(stream.data), format="h264", options={"err_detect": "explode"}) as source,
        ):
            source.streams.video[0].codec_context.thread_count = 1
            for frame in source.decode(video=0):
                planes = []
                for plane in frame.planes:
                    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
                    planes.append(rows[: plane.height, : plane.width].astype(np.int32))
                frames.append(planes)
    finally:
        av.logging.set_level(level)
    return frames, [line[2].strip() for line in log if line[0] <= av.logging.WARNING]


def read(stream: WrittenStream, container: str = "h264") -> list[Picture]:
    """The engine's pictures; the number of each is the place of its first packet."""
    head, units = packets(stream, container)
    engine = Stream(head)
    found: list[Picture] = []
    for k, unit in enumerate(units):
        found += engine.push(unit, number=k)
    return found + engine.flush()


def list_differences(stream: WrittenStream, pictures: list[Picture]) -> Iterator[str]:
    """Where kinds, order counts and reference lists differ from what was written."""
    if len(pictures) != len(stream.sizes):
        yield f"{len(pictures)} pictures of {len(stream.sizes)}"
        return
    place = {p.number: k for k, p in enumerate(pictures)} | {-1: -1}
    for k, picture in enumerate(pictures):
        coded = [w for w in stream.pictures if w.frame == k]
        slices = picture.slices()
        expected = [(w, s) for w in coded for s in w.slices]
        if len(slices) != len(expected):
            yield f"picture {k}: {len(slices)} slices of {len(expected)}"
            continue
        if picture.coded_size != stream.sizes[k]:
            yield f"picture {k}: size {picture.coded_size} for {stream.sizes[k]}"
        if picture.reference != coded[0].reference or picture.idr != coded[0].idr:
            yield f"picture {k}: reference {picture.reference}, IDR {picture.idr}"
        order = [picture.poc if w.structure == 3 else picture.poc_fields[w.structure - 1] for w in coded]
        if not coded[0].reset and order != [w.poc for w in coded]:
            yield f"picture {k}: order counts {order} for {[w.poc for w in coded]}"
        for n, ((w, s), got) in enumerate(zip(expected, slices, strict=True)):
            if (got.type, got.structure, got.first_mb) != (s.kind, w.structure, s.first_mb):
                yield f"picture {k} slice {n}: {(got.type, got.structure, got.first_mb)}"
            lists = [[(place[e[0]], e[1]) for e in li] for li in got.ref_lists[: len(s.lists)]]
            wanted = [[(f, part) for f, part in li] for li in s.lists]
            if lists != wanted:
                yield f"picture {k} slice {n} ({s.kind}, structure {w.structure}): lists {lists} for {wanted}"


def sample_differences(
    stream: WrittenStream, pictures: list[Picture], frames: list[list[Plane]], first: int = 0
) -> Iterator[str]:
    """The first macroblock of each picture from `first` on where prediction plus residual isn't what FFmpeg decodes."""
    by_frame = dict(zip(stream.shown, frames, strict=True))
    decoded = {p.number: by_frame[k] for k, p in enumerate(pictures)}
    for k, picture in enumerate(pictures[first:], first):
        try:
            picture.parse(residual=True)
            built, known = rebuild(picture, decoded)
        except (AssertionError, KeyError, IndexError) as error:
            yield f"picture {k}: {type(error).__name__} {error}"
            continue
        width = picture.coded_size[0] // 16
        intra = (picture.macroblocks()["flags"] & INTRA) != 0
        if picture.is_damaged:
            yield f"picture {k}: {picture.damaged} damaged macroblocks, {picture.broken_slices} broken slices"
            continue
        covered = int(known[0].sum())
        if covered + 256 * intra.sum() != known[0].size:
            yield f"picture {k}: {covered / 256} macroblocks predicted, {intra.sum()} intra, of {known[0].size // 256}"
        for c, (mine, where, truth) in enumerate(zip(built, known, by_frame[k], strict=True)):
            wrong = where & (mine != truth)
            if wrong.any():
                y, x = (int(i) for i in np.argwhere(wrong)[0])
                size = 16 >> (c > 0)
                yield (
                    f"picture {k} plane {c}: {int(wrong.sum())} samples, first at ({x}, {y}), macroblock column "
                    f"{x // size} of {width}, row {y // size}: {int(mine[y, x])} for {int(truth[y, x])}"
                )
                break
