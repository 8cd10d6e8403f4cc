"""Slices of one coded picture: reference lists, weights, direct modes, headers (7.3.3)."""

from __future__ import annotations

import random
from dataclasses import dataclass

from writer_bits import BitWriter, nal
from writer_features import Features
from writer_macroblocks import Picture, Slice
from writer_references import BOTTOM, FRAME, Buffer, Entry
from writer_sets import Pps, Sps


@dataclass
class WrittenSlice:
    """A slice's kind, place and lists: (frame number, structure) of each entry, -1 if invented for a gap."""

    kind: str
    first_mb: int
    lists: tuple[list[tuple[int, int]], ...]
    temporal: bool = False


@dataclass
class CodedPicture:
    """What slices share: `order` are syntax elements of the order count, `marking` bits of dec_ref_pic_marking()."""

    current: Entry
    kind: str
    ref_idc: int
    idr_id: int | None
    order: list[tuple[str, int]]
    marking: str
    temporal: bool  # of the stream: one set of lists for a picture's slices, since decoders look up one of them


@dataclass
class _Lists:
    entries: list[list[Entry]]
    modifications: list[list[tuple[int, int]]]


def write_slices(
    rng: random.Random, features: Features, sps: Sps, pps: Pps, buffer: Buffer, coded: CodedPicture
) -> tuple[bytes, list[WrittenSlice]]:
    """NAL units of a picture's slices. What direct modes may find in the picture is left in its frame's `used`."""
    frame, structure = coded.current
    mbaff = sps.mbaff and structure == FRAME
    height = sps.height if structure == FRAME else sps.height // 2
    picture = Picture(
        rng,
        width=sps.width,
        height=height,
        mbaff=mbaff,
        cabac=pps.cabac,
        field_picture=structure != FRAME,
        constrained=pps.constrained,
        residual=features.residual,
        intra=features.intra,
        transform8x8=pps.transform8x8,
        direct8x8_inference=sps.inference,
        skip=rng.choice((0.1, 0.3, 0.6)),
        texture=rng.choice((0, 0, 1, 3)),
    )
    units = sps.width * height // (2 if mbaff else 1)
    starts = sorted({0, *(rng.randrange(units) for _ in range(rng.randrange(features.slices)))})
    kinds = [coded.kind] * len(starts)
    if coded.kind != "I" and rng.random() < features.mixed_slices:
        allowed = ("I", coded.kind) if coded.temporal or coded.kind == "P" else ("I", "P", "B")
        kinds = [rng.choice(allowed) for _ in starts]
    shared: dict[str, _Lists | None] = {}
    result, written, used = b"", [], set()
    slices: list[tuple[str, _Lists | None]] = []
    for kind in kinds:
        if kind not in shared or not coded.temporal:
            shared[kind] = None if kind == "I" else _choose_lists(rng, features, sps, pps, buffer, coded, kind)
        slices.append((kind if shared[kind] else "I", shared[kind]))
    same = len({kind for kind, _ in slices}) == 1
    for (kind, lists), start, end in zip(slices, starts, [*starts[1:], units], strict=True):
        entries = lists.entries if lists else []
        needs = _temporal_needs(coded.current, entries) if kind == "B" else None
        temporal = needs is not None and coded.temporal and rng.random() < 0.85
        first, last = (2 * start, 2 * end) if mbaff else (start, end)
        s = Slice(kind=kind, qp=rng.randint(10, 40), first=first, end=last)
        s.count = (len(entries[0]) if entries else 0, len(entries[1]) if len(entries) > 1 else 0)
        for which, listed in enumerate(entries):
            s.usable[which][:] = [i for i, e in enumerate(listed) if e[0].exists]
        if coded.temporal and kind == "P":
            # Few references, so that pictures between can name them all.
            s.usable = ([0, rng.choice(s.usable[0])], [])
        s.direct = kind == "B" and (features.own_column or entries[1][0][0] is not frame)
        if pps.cabac and kind != "I":
            s.init_idc = rng.randrange(3)
        bits = BitWriter()
        bits.ue(start)
        bits.ue("PBI".index(kind) + (5 if same and rng.random() < 0.5 else 0))
        _header(bits, rng, sps, pps, coded, kind, lists, not temporal, s)
        picture.slice_data(bits, s)
        result += nal(coded.ref_idc, 1 if coded.idr_id is None else 5, bits.bytes())
        used |= _used(s, entries, needs if temporal else None)
        names = tuple([(f.number, part) for f, part in li] for li in entries)
        written.append(WrittenSlice(kind=kind, first_mb=start, lists=names, temporal=temporal))
    frame.used[structure] = used
    return result, written


def _choose_lists(
    rng: random.Random, features: Features, sps: Sps, pps: Pps, buffer: Buffer, coded: CodedPicture, kind: str
) -> _Lists | None:
    current = coded.current
    named = [e for k in ("short", "long") for e in buffer.marked(current, kind=k)]
    real = [e for e in named if e[0].exists]
    if not real:
        return None
    result = _Lists([], [])
    for which, initial in enumerate(buffer.initial(current, b=kind == "B")):
        default, limit = pps.counts[which], 16 if current[1] == FRAME else 32
        count = default if rng.random() > features.override else rng.randint(1, limit)
        wanted: list[Entry] = []
        if rng.random() < (features.reorder * 0.5 if coded.temporal else features.reorder):
            wanted = [rng.choice(real) for _ in range(rng.randint(1, 4))]
        count = min(max(count, len(wanted)), len(initial) + len(wanted))
        if coded.temporal and kind == "B":
            count = min(limit, max(count, len(initial)))
        if len(real) < len(named) and (kind == "B" or sps.laced):
            # FFmpeg leaves invented frames out of a B picture's initial lists, and their second fields out of all:
            # name all.
            wanted = [rng.choice(real) for _ in range(rng.randint(1, 4))]
            count = len(wanted)
        entries = buffer.modified(initial, wanted, count)
        if entries[0] is None or not entries[0][0].exists:
            wanted = [rng.choice(real), *wanted]
            count = max(count, len(wanted))
            entries = buffer.modified(initial, wanted, count)
        whole = [e for e in entries if e is not None]
        if None in entries[: len(whole)]:
            raise AssertionError("a list with a hole")
        result.entries.append(whole)
        result.modifications.append(buffer.modifications(wanted, current, lambda: rng.random() < 0.2))
    return result


def _temporal_needs(current: Entry, entries: list[list[Entry]]) -> set[Entry] | None:
    """The entries of list 0 that temporal direct may ask for (8.4.1.2.3), None if one is not in the list."""
    column, parity = entries[1][0]
    if current[1] == FRAME:
        found = {e for part in column.used.values() for e in part}
        needs = {(f, FRAME) for f, _ in found}
    elif column.fields:
        needs = set(column.used[parity])
    else:
        # Field macroblocks of an MBAFF frame may ask for either field.
        needs = {(f, part) for f, _ in column.used[FRAME] for part in ((1, 2) if column.mbaff else (current[1],))}
    return needs if needs <= set(entries[0]) else None


def _used(s: Slice, entries: list[list[Entry]], mapped: set[Entry] | None) -> set[Entry]:
    """The references that may be used for a macroblock of the slice when it is co-located."""
    result = set(mapped or ())
    for which, index in s.used:
        if which == "0" or which == "1" or (s.has_direct and mapped is None):
            result.add(entries[0 if which == "0" else 1][index])
    return result


def _header(
    bits: BitWriter,
    rng: random.Random,
    sps: Sps,
    pps: Pps,
    coded: CodedPicture,
    kind: str,
    lists: _Lists | None,
    spatial: bool,
    s: Slice,
) -> None:
    """slice_header() after slice_type."""
    frame, structure = coded.current
    bits.ue(pps.number)
    bits.u(sps.frame_num_bits, frame.frame_num)
    if sps.laced:
        bits.u(1, int(structure != FRAME))
        if structure != FRAME:
            bits.u(1, int(structure == BOTTOM))
    if coded.idr_id is not None:
        bits.ue(coded.idr_id)
    for element, value in coded.order:
        if element == "lsb":
            bits.u(sps.poc_bits, value)
        else:
            bits.se(value)
    if kind == "B":
        bits.u(1, int(spatial))
    if lists:
        counts = [len(entries) for entries in lists.entries]
        override = any(c != d for c, d in zip(counts, pps.counts, strict=False)) or rng.random() < 0.2
        bits.u(1, int(override))
        for count in counts if override else []:
            bits.ue(count - 1)
        for modifications in lists.modifications:
            bits.u(1, int(bool(modifications)))
            for idc, operand in modifications:
                bits.ue(idc)
                bits.ue(operand)
            if modifications:
                bits.ue(3)
        if pps.weighted if kind == "P" else pps.weighted_bipred == 1:
            _weights(bits, rng, counts)
    bits.raw(coded.marking)
    if pps.cabac and kind != "I":
        bits.ue(s.init_idc)
    bits.se(s.qp - pps.qp)
    bits.ue(1)


def _weights(bits: BitWriter, rng: random.Random, counts: list[int]) -> None:
    """pred_weight_table() (7.3.3.2); two weights of a B slice never sum beyond what 7.4.3.2 allows."""
    b = len(counts) > 1
    denominators = [rng.randint(0, 5 if b else 7) for _ in range(2)]
    for denominator in denominators:
        bits.ue(denominator)
    for count in counts:
        for _ in range(count):
            for denominator, planes in zip(denominators, (1, 2), strict=True):
                coded = rng.random() < 0.5
                bits.u(1, int(coded))
                for _ in range(planes if coded else 0):
                    near = (1 << denominator) + rng.randint(-4, 4)
                    wild = rng.randint(-30, 60) if b else rng.randint(-128, 127)
                    bits.se(max(-128, min(127, near if rng.random() < 0.8 else wild)))
                    bits.se(rng.randint(-20, 20) if rng.random() < 0.9 else rng.choice((-128, 127)))
