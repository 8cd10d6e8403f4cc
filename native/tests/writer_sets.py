"""Parameter sets of the stream writer (7.3.2.1, 7.3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass

from writer_bits import BitWriter, nal


@dataclass
class Sps:
    """A sequence parameter set; `reorder` is max_num_reorder_frames, the offsets are those of order count type 1."""

    width: int
    height: int  # macroblocks of a frame
    laced: bool
    mbaff: bool
    profile: int
    frame_num_bits: int
    poc_type: int
    poc_bits: int
    max_frames: int
    gaps: bool
    inference: bool
    reorder: int
    offset_non_ref: int
    offset_bottom: int
    cycle: list[int]

    def unit(self) -> bytes:
        """seq_parameter_set_data() with VUI timing and bitstream restrictions (7.3.2.1, E.1)."""
        w = BitWriter()
        w.data(bytes([self.profile, 0, 22]))
        w.ue(0)
        if self.profile == 100:
            w.ue(1)
            w.ue(0)
            w.ue(0)
            w.u(2, 0)
        w.ue(self.frame_num_bits - 4)
        w.ue(self.poc_type)
        if self.poc_type == 0:
            w.ue(self.poc_bits - 4)
        elif self.poc_type == 1:
            w.u(1, 0)
            w.se(self.offset_non_ref)
            w.se(self.offset_bottom)
            w.ue(len(self.cycle))
            for offset in self.cycle:
                w.se(offset)
        w.ue(self.max_frames)
        w.u(1, int(self.gaps))
        w.ue(self.width - 1)
        w.ue(self.height // (2 if self.laced else 1) - 1)
        w.u(1, int(not self.laced))
        if self.laced:
            w.u(1, int(self.mbaff))
        w.u(1, int(self.inference))
        w.u(1, 0)
        w.u(1, 1)
        w.u(4, 0)
        w.u(1, 1)
        w.u(32, 1)
        w.u(32, 50)
        w.u(1, 1)
        w.u(3, 0)
        w.u(1, 1)
        w.u(1, 1)
        for value in (0, 0, 10, 10, self.reorder, 16):
            w.ue(value)
        w.trailing()
        return nal(3, 7, w.bytes())


@dataclass
class Pps:
    """A picture parameter set; `counts` are the default list lengths, `chroma_offset` that of the quantiser of Cb."""

    number: int
    poc_present: bool
    counts: tuple[int, int]
    weighted: int
    weighted_bipred: int
    qp: int
    chroma_offset: int
    constrained: bool
    transform8x8: bool
    cabac: bool

    def unit(self) -> bytes:
        """pic_parameter_set_rbsp() (7.3.2.2)."""
        w = BitWriter()
        w.ue(self.number)
        w.ue(0)
        w.u(1, int(self.cabac))
        w.u(1, int(self.poc_present))
        w.ue(0)
        w.ue(self.counts[0] - 1)
        w.ue(self.counts[1] - 1)
        w.u(1, self.weighted)
        w.u(2, self.weighted_bipred)
        w.se(self.qp - 26)
        w.se(0)
        w.se(self.chroma_offset)
        w.u(1, 1)
        w.u(1, int(self.constrained))
        w.u(1, 0)
        if self.transform8x8:
            w.u(1, 1)
            w.u(1, 0)
            w.se(-self.chroma_offset)
        w.trailing()
        return nal(3, 8, w.bytes())
