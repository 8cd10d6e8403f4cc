"""Backend "bitstream": maps of chosen pictures from the H.264 stream itself, each parsed alone, none reconstructed.

A P picture's vectors and residual depend on that picture alone, a B picture's also on its co-located picture's vectors
(ITU-T H.264, 8.4.1.2): between the steps only slice headers are read.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from himmel.video.backends.extract import Extract, Plan, Step
from himmel.video.file.decoder import Decoder, Segment, plan_segments, retry_starts
from himmel.video.file.picture import PictureFormat

try:
    import himmel_bitstream
except ImportError:  # the engine is compiled, and optional
    himmel_bitstream = None  # type: ignore[assignment]

CODEC = "h264"
_PROBED = 64


def is_available() -> bool:
    """Whether the engine can be imported; himmel may be installed without it, where nothing compiles it."""
    return himmel_bitstream is not None


def why_not(decoder: Decoder, start: int, last: int) -> str | None:
    """Try the first packets from a keyframe: None if one of them holds vectors, else the reason in a clause.

    Args:
        start, last: decode-order numbers of the packets to look at; at most 64 are.
    """
    stream = himmel_bitstream.Stream(decoder.index.extradata)
    try:
        looked_at = Segment(start, tuple(range(start, min(last, start + _PROBED) + 1)))
        for number, packet in decoder.packets(looked_at):
            for picture in stream.push(packet, number=number):
                if picture.kind != "I" and len(picture.vectors()):
                    return None
    except ValueError as error:
        return f"the bitstream engine refuses {error}"
    return "the pictures looked at hold no vectors"


def intra_shares(decoder: Decoder, numbers: Sequence[int]) -> dict[int, float] | None:
    """Share of intra-coded macroblocks in chosen pictures, 0..1; None if the engine refuses the stream.

    Args:
        numbers: decode-order numbers; of those that don't come there is no share.
    """
    shares: dict[int, float] = {}
    wanted = frozenset(numbers)

    def take(pictures: "list[himmel_bitstream.Picture]") -> None:
        for picture in pictures:
            if picture.number in wanted:
                shares[picture.number] = float(np.mean(picture.macroblocks()["flags"] & himmel_bitstream.INTRA > 0))

    for segment in plan_segments(decoder.index, [{number} for number in numbers]):
        try:
            stream = himmel_bitstream.Stream(decoder.index.extradata)
            for number, packet in decoder.packets(segment):
                take(stream.push(packet, number=number, keep=number in wanted))
        except ValueError:
            return None
        take(stream.flush())
    return shares


def extract_steps(decoder: Decoder, plan: Plan, segment: Segment) -> Extract:
    """Maps of a segment's steps; anchors are somebody else's.

    Pictures whose references are missing (reading began at a recovery point) are tried again from earlier keyframes.
    """
    wanted = {number for number in segment.wanted if number in plan.steps}
    result = Extract()
    if not wanted:
        return result
    for start in retry_starts(plan.index, segment.start):
        wanted -= _read(decoder, plan, start, wanted, result)
        if not wanted:
            break
    return result


def _read(decoder: Decoder, plan: Plan, start: int, wanted: set[int], result: Extract) -> set[int]:
    """One pass from `start`; steps go into `result`. Returns those that leave nothing to be wished for."""
    index = plan.index
    stream = himmel_bitstream.Stream(index.extradata)
    whole: set[int] = set()

    def take(pictures: "list[himmel_bitstream.Picture]") -> None:
        for picture in pictures:
            if picture.number not in wanted:
                continue
            step = _make_step(picture, plan)
            if step is None:
                continue
            result.steps[picture.number] = step
            if not picture.missing_references:
                whole.add(picture.number)

    for number, packet in decoder.packets(Segment(start, tuple(sorted(wanted)))):
        try:
            take(stream.push(packet, number=number, position=float(index.rank[number]), keep=number in wanted))
        except himmel_bitstream.UnsupportedStream:
            # The stream was read elsewhere: this packet is damaged, and what refers to it lacks a reference.
            continue
    take(stream.flush())
    return whole


def _make_step(picture: "himmel_bitstream.Picture", plan: Plan) -> Step | None:
    """Maps in displayed orientation; None for a picture of another size or one that is damaged as a whole."""
    fmt = plan.format
    width, height = picture.coded_size
    if (width, height) != (fmt.coded_width, fmt.coded_height):
        left, top, shown_width, shown_height = picture.window
        if (shown_width, shown_height) != (fmt.width, fmt.height):
            return None
    else:
        (left, top), (shown_width, shown_height) = fmt.crop, (fmt.width, fmt.height)
    maps = picture.maps(
        cell=plan.cell, window=(left, top, shown_width, shown_height), lead=_lead(fmt, plan.cell), residual=True
    )
    if picture.damaged and not (maps.covered.any() or maps.intra.any()):
        return None
    planes, orientation = maps.planes, fmt.orientation
    planes[0:2] *= np.float32(maps.past_distance)
    planes[2:4] *= np.float32(maps.future_distance)
    for plane in (0, 2):
        planes[plane : plane + 2] = np.stack(orientation.vectors(planes[plane], planes[plane + 1]))
    turned = dataclasses.replace(maps, planes=orientation.planes(planes))
    return Step(
        past=turned.past,
        future=turned.future,
        past_valid=turned.past_valid,
        future_valid=turned.future_valid,
        past_distance=maps.past_distance,
        future_distance=maps.future_distance,
        residual=turned.residual,
        covered=turned.covered,
        num_vectors=maps.num_vectors,
    )


def _lead(fmt: PictureFormat, cell: int) -> tuple[int, int]:
    """Where the displayed picture's top left corner is not the stored one's, cells begin at the other end."""
    turns, mirrored = fmt.orientation.quarter_turns, fmt.orientation.mirrored
    # Stored right edge shown left: a half turn, a quarter turn to the left (its top), or a mirror of what was not.
    from_right = {0: mirrored, 1: False, 2: not mirrored, 3: True}[turns]
    from_bottom = {0: False, 1: not mirrored, 2: True, 3: mirrored}[turns]
    return (-fmt.width % cell if from_right else 0, -fmt.height % cell if from_bottom else 0)
