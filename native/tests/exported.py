"""FFmpeg's exported motion vectors, picture by picture, and the strictest comparison that they allow.

How FFmpeg exports H.264 (read in its libavcodec/mpegutils.c, h264_mvpred.h and h264_direct.c), and what follows here:

- One record per block of 16x16, 16x8, 8x16 or 8x8 and list, the macroblock's type decides which. A macroblock with
  quarters always gives four 8x8 records, each with the vector of the quarter's **first 4x4 block**: the other vectors
  of an 8x4, 4x8 or 4x4 quarter are dropped, and are compared nowhere here (reconstruction proves them, and so do the
  vectors that are predicted from them).
- A list is exported if **any** partition of the macroblock uses it; for the partitions that do not, the record is a
  zero vector. So a record without a partner must be zero, and its quarter without any vector of that list.
- Direct and skipped macroblocks come in the largest shape that FFmpeg derives, which may be larger than the engine's
  pieces: all the engine's vectors under a record must equal it.
- Field macroblocks and field pictures lie in the raster of macroblocks as they are stored: macroblock (x, y) of a
  field of parity p is in row 2 y + p, and so does the pair's field macroblock of parity p in an MBAFF frame. The
  place of a record means that macroblock, not a place in the picture. In them motion_y counts field rows, except in
  16x8 and 8x16 records, where it has been **doubled**.
- Intra macroblocks have no record, a damaged one may keep what concealment made up. `source` tells the list alone
  (-1: list 0, 1: list 1), never the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.codec.context import Flags2
from av.video.frame import PictureType

from himmel_bitstream import DIRECT, INTRA, SKIP, Picture, Stream

Records = npt.NDArray[np.void]
RECORD = np.dtype(
    [("mb", "i4"), ("list", "i1"), ("x", "i1"), ("y", "i1"), ("w", "u1"), ("h", "u1"), ("mv_x", "i4"), ("mv_y", "i4")]
)


@dataclass
class Decoded:
    """What FFmpeg makes of a packet.

    Attributes:
        kind: type of one of the picture's slices, "I", "P" or "B" (others as FFmpeg names them).
        vectors: RECORD [V]; mb counts macroblocks of the frame as they are stored, x and y are in luma samples of the
            macroblock, the vector is in quarter samples, as exported.
    """

    kind: str
    vectors: Records


def records(exported: npt.NDArray[np.void] | None, width_mbs: int) -> Records:
    """FFmpeg's array as RECORD [V]."""
    if exported is None:
        return np.empty(0, RECORD)
    out = np.empty(len(exported), RECORD)
    left, top = exported["dst_x"] - exported["w"] // 2, exported["dst_y"] - exported["h"] // 2
    assert (exported["motion_scale"] == 4).all()
    out["mb"] = top // 16 * width_mbs + left // 16
    out["x"], out["y"], out["w"], out["h"] = left % 16, top % 16, exported["w"], exported["h"]
    out["mv_x"], out["mv_y"] = exported["motion_x"], exported["motion_y"]
    out["list"] = exported["source"] > 0
    return out


def decode(path: Path | str) -> dict[int, Decoded]:
    """All pictures by the number of the packet that begins them, decoded on one thread: on more, vectors are wrong."""
    found: dict[int, Decoded] = {}
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        context.thread_count = 1
        context.flags2 |= Flags2.export_mvs
        # Filtering the edges changes no vector and takes a third of the time.
        context.options = {"skip_loop_filter": "all"}
        packets = [packet for packet in container.demux(video) if packet.size]
        frames = []
        for number, packet in enumerate(packets):
            # A frame carries its packet's time: the number, as raw streams have no times.
            packet.pts = packet.dts = number
            frames += context.decode(packet)
        frames += context.decode(None)
        for frame in frames:
            data = frame.side_data.get("MOTION_VECTORS")
            width_mbs = (context.coded_width or frame.width) + 15 >> 4
            vectors = records(None if data is None else data.to_ndarray(), width_mbs)
            found[frame.pts] = Decoded(PictureType(frame.pict_type).name, vectors)
    return found


def parse(path: Path | str) -> dict[int, Picture]:
    """The engine's pictures by the number of the packet that begins them."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        stream = Stream(video.codec_context.extradata)
        found: list[Picture] = []
        for number, packet in enumerate(p for p in container.demux(video) if p.size):
            found += stream.push(bytes(packet), number=number)
        return {picture.number: picture for picture in found + stream.flush()}


@dataclass
class Grid:
    """The engine's vectors on 4x4 blocks.

    Attributes:
        mv: [2, M, 4, 4, 2] by list, macroblock, row and column; in quarter samples and rows of the macroblock.
        size: [2, M, 4, 4, 2], width and height of the partition; 0 where the list is not used.
        field: [M], whether the macroblock's vectors count field rows.
    """

    mv: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    field: npt.NDArray[np.bool_]


def grid(vectors: npt.NDArray[np.void], coded_size: tuple[int, int]) -> Grid:
    """Spread VECTOR records over their 4x4 blocks; a block that two partitions claim is an error."""
    width_mbs, height_mbs = coded_size[0] // 16, coded_size[1] // 16
    mb = vectors["mb"].astype(int)
    row, column = mb // width_mbs, mb % width_mbs
    field = vectors["field"] > 0
    inside = np.where(field, (vectors["y"] - (row & ~1) * 16 - (vectors["field"] == 2)) // 2, vectors["y"] - 16 * row)
    x, y = (vectors["x"] - 16 * column) // 4, inside // 4
    w, h = vectors["w"] // 4, vectors["h"] // 4
    assert ((x >= 0) & (x + w <= 4) & (y >= 0) & (y + h <= 4)).all(), "a partition leaves its macroblock"
    assert (~field | (vectors["field"] - 1 == row % 2)).all(), "a field macroblock outside its field's rows"
    out = Grid(
        np.zeros((2, width_mbs * height_mbs, 4, 4, 2), np.int32),
        np.zeros((2, width_mbs * height_mbs, 4, 4, 2), np.int32),
        np.zeros(width_mbs * height_mbs, np.bool_),
    )
    out.field[mb] = field
    for dy in range(4):
        for dx in range(4):
            chosen = (dx < w) & (dy < h)
            at = vectors["list"][chosen], mb[chosen], y[chosen] + dy, x[chosen] + dx
            assert not out.size[at].any(), "partitions overlap"
            out.mv[at] = np.stack([vectors["mv_x"], vectors["mv_y"]], 1)[chosen]
            out.size[at] = np.stack([vectors["w"], vectors["h"]], 1)[chosen]
    return out


def differences(theirs: Decoded, ours: Picture, vectors: npt.NDArray[np.void] | None = None) -> Iterator[str]:
    """What differs between FFmpeg's records and the engine's vectors of a picture, by macroblock, in coding order.

    Args:
        vectors: taken in place of `ours.vectors()`.
    """
    own = grid(ours.vectors() if vectors is None else vectors, ours.coded_size)
    flags = ours.macroblocks()["flags"]
    if theirs.kind not in {part.type for part in ours.slices()}:
        yield f"type {ours.kind} where FFmpeg has {theirs.kind}"
    exported = np.zeros((2, len(flags)), np.bool_)
    exported[theirs.vectors["list"], theirs.vectors["mb"]] = True
    surplus = own.size.any(axis=(2, 3, 4)) & ~exported
    for list_, mb in np.argwhere(surplus):
        yield f"macroblock {mb} list {list_}: {own.mv[list_, mb].reshape(-1, 2)[0]} where FFmpeg has nothing"
    covered = np.zeros((2, len(flags), 4, 4), np.bool_)
    derived = (flags & (DIRECT | SKIP)) != 0
    shapes = {(int(w), int(h)) for w, h in theirs.vectors[["w", "h"]]}
    for w, h in sorted(shapes):
        part = theirs.vectors[(theirs.vectors["w"] == w) & (theirs.vectors["h"] == h)]
        mb, list_ = part["mb"], part["list"]
        x, y = part["x"] // 4, part["y"] // 4
        mv = np.stack([part["mv_x"], part["mv_y"]], 1)
        if (w, h) in ((16, 8), (8, 16)):
            odd = own.field[mb] & (mv[:, 1] % 2 != 0)
            mv[:, 1] = np.where(own.field[mb], mv[:, 1] // 2, mv[:, 1])
        else:
            odd = np.zeros(len(part), np.bool_)
        used = own.size[list_, mb, y, x].any(axis=1)
        wrong = odd | np.where(used, (own.mv[list_, mb, y, x] != mv).any(axis=1), mv.any(axis=1))
        # Below a record all blocks use the list or none does, and except for small partitions of a quarter all agree.
        for dy in range(h // 4):
            for dx in range(w // 4):
                at = list_, mb, y + dy, x + dx
                covered[at] = True
                wrong |= own.size[at].any(axis=1) != used
                if (w, h) != (8, 8):
                    wrong |= (own.mv[at] != own.mv[list_, mb, y, x]).any(axis=1)
        size = own.size[list_, mb, y, x]
        same = (size == (w, h)).all(axis=1) if (w, h) != (8, 8) else (size <= 8).all(axis=1)
        wrong |= used & ~derived[mb] & ~same
        for k in np.flatnonzero(wrong):
            yield (
                f"macroblock {mb[k]} list {list_[k]} at ({part['x'][k]}, {part['y'][k]}), {w}x{h}: "
                f"{own.mv[list_[k], mb[k], y[k], x[k]]} of size {size[k]} where FFmpeg has {mv[k]}"
            )
    if (own.size.any(axis=-1) & ~covered & exported[:, :, None, None]).any():
        yield "FFmpeg's records leave a part of a macroblock out"
    if ((flags & INTRA) != 0)[theirs.vectors["mb"]].any():
        yield "FFmpeg has vectors in an intra macroblock"


def mismatches(path: Path | str) -> Iterator[str]:
    """All differences of a file; nothing if every vector of every picture is FFmpeg's."""
    theirs, ours = decode(path), parse(path)
    if theirs.keys() != ours.keys():
        missing, surplus = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
        yield f"packets {missing} begin no picture of ours, packets {surplus} none of FFmpeg's"
    for number in sorted(theirs.keys() & ours.keys()):
        for text in differences(theirs[number], ours[number]):
            yield f"packet {number}: {text}"
        if ours[number].is_damaged:
            found = ours[number]
            yield f"packet {number}: {found.damaged} damaged macroblocks, {found.broken_slices} broken slices"
