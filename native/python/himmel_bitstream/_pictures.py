"""Streams and pictures as Python sees them: thin faces of `_core`, which hands out records as bytes."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from himmel_bitstream import _core

FloatArray = npt.NDArray[np.float32]
Window = tuple[int, int, int, int]

# As VectorRecord and MacroblockRecord lie in memory.
VECTOR = np.dtype(
    [
        ("x", "i2"),
        ("y", "i2"),
        ("w", "u1"),
        ("h", "u1"),
        ("mv_x", "i2"),
        ("mv_y", "i2"),
        ("list", "u1"),
        ("ref_idx", "u1"),
        ("field", "u1"),
        ("ref_structure", "u1"),
        ("mb", "i4"),
        ("ref_number", "i8"),
        ("ref_poc", "i4"),
        ("distance", "f4"),
    ],
    align=True,
)
MACROBLOCK = np.dtype([("flags", "u2"), ("qp", "i1"), ("cbp", "u1"), ("slice", "u2"), ("bits", "u2")])


@dataclass(frozen=True)
class Slice:
    """Header and reference lists of one slice.

    Attributes:
        type: "I", "P" or "B".
        structure: 1 top field, 2 bottom field, 3 frame.
        first_mb: first_mb_in_slice.
        ref_lists: for list 0 and list 1 the entries (number, structure, poc, long_term, missing); number is what
            `Stream.push` was given, -1 for a picture that is not there.
        qp: SliceQPY.
        weighted: 0 default, 1 explicit, 2 implicit weighted prediction.
        weights: with explicit weights, `[list][refIdx]` -> (luma weight, luma offset, Cb weight, Cb offset, Cr
            weight, Cr offset), offsets as coded; else empty.
        log2_denoms: luma_log2_weight_denom and chroma_log2_weight_denom.
        direct_spatial: direct_spatial_mv_pred_flag.
    """

    type: Literal["I", "P", "B"]
    structure: int
    first_mb: int
    ref_lists: tuple[list[tuple[int, int, int, bool, bool]], list[tuple[int, int, int, bool, bool]]]
    qp: int
    weighted: int
    weights: list[list[tuple[int, int, int, int, int, int]]]
    log2_denoms: tuple[int, int]
    direct_spatial: bool


@dataclass(frozen=True, repr=False)
class Maps:
    """A picture on a grid of R x C square cells, float32.

    Attributes:
        planes: [14, R, C], all of them; the other attributes are views into it.
        past: [2, R, C], motion (right, down) from references that are shown earlier, in luma pixels per frame interval,
            forward in time: the mean over the valid part of the cell, weighted by area; 0 where nothing is valid.
        future: [2, R, C], the same from references that are shown later.
        past_valid, future_valid: [R, C], share of the cell with such vectors of known distance, 0 to 1.
        covered, intra, skip: [R, C], share of the cell in inter, intra and skipped macroblocks, 0 to 1. What is neither
            covered nor intra was not read: it is damaged.
        residual: [3, R, C], luma root mean square, luma mean and chroma root mean square of the residual, over the part
            covered by inter macroblocks, in 8-bit code values.
        qp: [R, C], mean QPY.
        bits: [R, C], bits of slice data spent on the cell.
        past_distance, future_distance: mean distance to the references, frame intervals; 0 without any.
        num_vectors: partitions with a vector, counted once a list.
    """

    planes: FloatArray
    past_distance: float
    future_distance: float
    num_vectors: int

    def __repr__(self) -> str:
        rows, columns = self.planes.shape[1:]
        return f"Maps({rows} x {columns} cells, past {self.past_distance:g}, future {self.future_distance:g})"

    past = property(lambda self: self.planes[0:2])
    future = property(lambda self: self.planes[2:4])
    past_valid = property(lambda self: self.planes[4])
    future_valid = property(lambda self: self.planes[5])
    covered = property(lambda self: self.planes[6])
    intra = property(lambda self: self.planes[7])
    skip = property(lambda self: self.planes[8])
    residual = property(lambda self: self.planes[9:12])
    qp = property(lambda self: self.planes[12])
    bits = property(lambda self: self.planes[13])


def _known(name: str) -> Any:
    """A property that reads an attribute of the core picture."""
    return property(attrgetter(f"_core.{name}"))


class Picture:
    """A frame or complementary field pair. Headers are known; the rest is parsed when it is first asked for.

    Attributes (see `Stream.push` for number and position):
        kind: "B" if any slice is, else "P" if any is, else "I".
        poc, poc_fields: picture order count of the frame and of its top and bottom field.
        reference, idr, gap: nal_ref_idc is not 0; an IDR picture; pictures before it are missing (frame_num).
        coded_size: (width, height) in luma samples before cropping; window: (left, top, width, height) that is shown.
        bit_depth: of luma and chroma; chroma_format: chroma_format_idc, 0 to 3.
        field_picture, mbaff: coded as two fields; as a frame of macroblock pairs.
        bits: of its slices' NAL units, headers included, as they lie in the packets.
        broken_header: a NAL unit of its packet could not be read, or bytes of the packet belong to none.
        missing_references: a reference list names pictures that are not there.

    Asking for these parses the picture (ValueError for one that was pushed with keep=False):
        quantiser: mean QPY over the macroblocks that were read, NaN if none was.
        damaged: how many macroblocks were not read: their slice is missing, or broke off before them. Of
            `num_macroblocks` in the frame.
        broken_slices: how many slices break off, or don't end where their data do. What was read of them may be wrong.
        is_damaged: damaged or broken_slices is not 0. It is about the picture's own data: `gap` and
            `missing_references` tell of others that are lost. A broken_header alone may be that of a unit that the
            picture does not need.

    All methods may be called from several threads at once.
    """

    def __init__(self, core: Any) -> None:
        self._core = core

    def __repr__(self) -> str:
        width, height = self.coded_size
        return f"Picture({self.number}, {self.kind}, poc={self.poc}, {width}x{height})"

    number = _known("number")
    position = _known("position")
    kind = _known("kind")
    poc = _known("poc")
    poc_fields = _known("poc_fields")
    reference = _known("reference")
    idr = _known("idr")
    gap = _known("gap")
    coded_size = _known("coded_size")
    window = _known("window")
    bit_depth = _known("bit_depth")
    chroma_format = _known("chroma_format")
    field_picture = _known("field_picture")
    mbaff = _known("mbaff")
    bits = _known("bits")
    quantiser = _known("quantiser")
    damaged = _known("damaged")
    broken_slices = _known("broken_slices")
    broken_header = _known("broken_header")
    missing_references = _known("missing_references")

    @property
    def num_macroblocks(self) -> int:
        """Macroblocks of the frame, read or not."""
        width, height = self.coded_size
        return width // 16 * (height // 16)

    @property
    def is_damaged(self) -> bool:
        """Whether any of its own data are missing or broken; parses the picture."""
        return bool(self.damaged or self.broken_slices)

    def parse(self, *, residual: bool = False) -> None:
        """Parse the slice data, without the interpreter's lock."""
        self._core.parse(residual=residual)

    def vectors(self) -> npt.NDArray[np.void]:
        """Motion-compensated blocks one by one, VECTOR [V], in macroblock order.

        Fields:
            x, y: the block's top left corner in the coded frame, luma samples; w, h: its size.
            mv_x, mv_y: from the block to where it is predicted from, quarter luma samples.
            list, ref_idx: which reference.
            field: 0 for blocks of a frame; 1 or 2 for blocks of the top or bottom field, whose rows are every second
                line from y on (h and mv_y count rows of the field).
            ref_structure: the reference is 1 a top field, 2 a bottom field, 3 a frame.
            mb: index of the macroblock in raster order of the frame.
            ref_number, ref_poc: the reference's number (-1: missing) and picture order count.
            distance: to the reference, frame intervals; 0 if unknown.
        """
        return np.frombuffer(self._core.vectors(), VECTOR)

    def macroblocks(self) -> npt.NDArray[np.void]:
        """MACROBLOCK [height / 16 * width / 16], in raster order of the frame.

        Macroblock (x, y) of a top field is in row 2 y of the frame, that of a bottom field in row 2 y + 1.

        Fields:
            flags: bits by the module's constants (INTRA, SKIP, DAMAGED and others).
            qp: QPY.
            cbp: CodedBlockPatternLuma + 16 CodedBlockPatternChroma.
            slice: index into `slices()`, 65535 for none.
            bits: of slice data, at most 65535.
        """
        return np.frombuffer(self._core.macroblocks(), MACROBLOCK)

    def slices(self) -> list[Slice]:
        """Headers and reference lists of all slices."""
        return [Slice(**fields) for fields in self._core.slices()]

    def residual(self) -> tuple[npt.NDArray[np.int32], ...]:
        """Exact spatial residual of inter macroblocks per plane, int32 [H, W] of the coded frame, 0 elsewhere."""
        planes: tuple[npt.NDArray[np.int32], ...] = self._core.residual()
        return planes

    def maps(
        self,
        *,
        cell: int = 16,
        window: Window | None = None,
        lead: tuple[int, int] = (0, 0),
        residual: bool = True,
        out: FloatArray | None = None,
    ) -> Maps:
        """Vectors, shares, residual, quantiser and bits on a grid.

        Args:
            cell: side of a cell in luma samples, a power of two from 4 on.
            window: (left, top, width, height) in the coded frame; None takes the picture's own `window`.
            lead: (x, y), by how many samples the first column and row of cells stick out of the window, 0 to cell - 1.
                For pictures that are shown turned.
            residual: whether the residual is read; False leaves its planes 0 and saves time.
            out: C-contiguous float32 [14, R, C] to write into.

        Raises:
            ValueError: cell, window or out don't fit, or the picture was pushed with keep=False.
        """
        _, _, width, height = window or self.window
        if out is None:
            if cell < 1:
                raise ValueError(f"cell={cell} must be a power of two from 4 on")
            rows, columns = -(-(height + lead[1]) // cell), -(-(width + lead[0]) // cell)
            out = np.empty((_core.MAP_PLANES, rows, columns), np.float32)
        return Maps(out, *self._core.rasterise(out, cell=cell, window=window, lead=lead, residual=residual))


class Stream:
    """A stream of H.264 packets whose headers and references are followed.

    Args:
        extradata: an avcC record (MP4, MKV, FLV), parameter sets in Annex B, or None if they come in the stream.

    Raises:
        ValueError: extradata is neither.
        UnsupportedStream: it names what is refused.
    """

    def __init__(self, extradata: bytes | None = None) -> None:
        self._core = _core.Stream()
        if extradata is not None:
            self._core.set_extradata(extradata)

    def set_extradata(self, extradata: bytes) -> None:
        """Take the parameter sets that are in force from the next packet on.

        For files whose parameter sets change in the middle: a second sample description in MP4, a new sequence header
        in FLV. The size of NAL units' lengths may change too. Sets with other numbers stay, and so do references.

        Args:
            extradata: an avcC record or parameter sets in Annex B; empty: they come in the stream.

        Raises:
            ValueError: it is neither, and nothing has changed.
            UnsupportedStream: it names what is refused.
        """
        self._core.set_extradata(extradata)

    def push(self, packet: Any, *, number: int, position: float = float("nan"), keep: bool = True) -> list[Picture]:
        """Walk one demuxed packet's headers and return the frames that are complete now.

        A field without its other half is kept back, for a later call or `flush` to return.

        Args:
            packet: bytes of one packet, as any object with a contiguous buffer (bytes, av.Packet).
            number: the caller's name for the picture.
            position: its index in presentation order; distances are differences of these.
            keep: False if you won't ask for this picture's content. Its bytes are then kept only if others may refer to
                it.

        Raises:
            UnsupportedStream: flexible macroblock ordering, redundant slices, data partitioning, SP or SI slices.
        """
        return [Picture(core) for core in self._core.push(packet, number=number, position=position, keep=keep)]

    def flush(self) -> list[Picture]:
        """Frames that are still held back, at the end of the stream."""
        return [Picture(core) for core in self._core.flush()]

    def reset(self) -> None:
        """Forget all references: reading continues elsewhere in the file."""
        self._core.reset()
