"""Written streams as users meet them: demuxed by FFmpeg, read by the engine, decoded by FFmpeg, compared picture by picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.logging
import numpy as np
import numpy.typing as npt
from himmel_bitstream import INTRA, Picture, Stream
from reconstruct import rebuild
from writer import WrittenStream

Plane = npt.NDArray[np.int32]


@dataclass
class Read:
    """What engine and FFmpeg find; pictures in decoding order, `frames` planes by frame number of the written stream."""

    pictures: list[Picture]
    frames: dict[int, list[Plane]]
    log: list[str]


def packets(stream: WrittenStream, *, container: str = "h264") -> tuple[bytes | None, list[bytes]]:
    """Extradata and packets as FFmpeg demuxes them: of raw H.264, or of another container that it was remuxed to."""
    with av.open(io.BytesIO(stream.data), format="h264") as source:
        video = source.streams.video[0]
        raw = [p for p in source.demux(video) if p.size]
        if container == "h264":
            return video.codec_context.extradata, [bytes(p) for p in raw]
        target = io.BytesIO()
        with av.open(target, "w", format=container) as sink:
            copy = sink.add_stream_from_template(video)
            for k, packet in enumerate(raw):
                # Raw H.264 has no times: some that rise are enough to store it.
                packet.pts = packet.dts = k * packet.time_base.denominator // packet.time_base.numerator // 50
                packet.stream = copy
                sink.mux(packet)
    target.seek(0)
    with av.open(target, format="matroska" if container == "matroska" else container) as source:
        video = source.streams.video[0]
        return video.codec_context.extradata, [bytes(p) for p in source.demux(video) if p.size]


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


def read(stream: WrittenStream, *, container: str = "h264", extradata: bool = True) -> list[Picture]:
    """The engine's pictures; the number of each is its place in decoding order of packets."""
    head, units = packets(stream, container=container)
    engine = Stream(head if extradata else None)
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
        if any(w.reset for w in coded):
            order = []
        for n, ((w, s), got) in enumerate(zip(expected, slices, strict=True)):
            if (got.type, got.structure, got.first_mb) != (s.kind, w.structure, s.first_mb):
                yield f"picture {k} slice {n}: {(got.type, got.structure, got.first_mb)}"
            lists = [[(place[e[0]], e[1]) for e in li] for li in got.ref_lists[: len(s.lists)]]
            wanted = [[(f, part) for f, part in li] for li in s.lists]
            if lists != wanted:
                yield f"picture {k} slice {n} ({s.kind}, structure {w.structure}): lists {lists} for {wanted}"


def sample_differences(stream: WrittenStream, pictures: list[Picture], frames: list[list[Plane]]) -> Iterator[str]:
    """The first macroblock of each picture whose prediction plus residual is not what FFmpeg decodes."""
    by_frame = dict(zip(stream.shown, frames, strict=True))
    decoded = {p.number: by_frame[k] for k, p in enumerate(pictures)}
    for k, picture in enumerate(pictures):
        try:
            picture.parse(residual=True)
            built, known = rebuild(picture, decoded)
        except (AssertionError, KeyError, IndexError) as error:
            yield f"picture {k}: {type(error).__name__} {error}"
            continue
        width = picture.coded_size[0] // 16
        intra = (picture.macroblocks()["flags"] & INTRA) != 0
        if picture.damaged:
            yield f"picture {k}: {picture.damaged} damaged macroblocks"
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
