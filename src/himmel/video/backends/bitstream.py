"""Backend "bitstream": maps of chosen pictures from the H.264 stream itself, each parsed alone, none reconstructed.

A P picture's vectors and residual depend on that picture alone, a B picture's also on its co-located picture's vectors
(ITU-T H.264, 8.4.1.2): between the steps only slice headers are read.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from himmel._install import GET_ENGINE, NO_ENGINE
from himmel.video.backends import engine
from himmel.video.backends.decoded import plan_anchors
from himmel.video.backends.places import places_to_look_at
from himmel.video.backends.protocol import (
    Backend,
    Extract,
    Found,
    FoundVectors,
    Plan,
    Reading,
    Spent,
    Step,
    Wanted,
    Work,
)
from himmel.video.backends.trace import plan_traces
from himmel.video.backends.trace_parsed import trace_parsed
from himmel.video.file.decoder import Decoder, Segment, plan_segments, read_with_retries
from himmel.video.file.opened import VideoFile
from himmel.video.file.picture import PictureFormat
from himmel.video.file.workers import Decoders, run_tasks
from himmel.video.maps.raster import Blocks
from himmel.video.maps.vectors import displayed_vectors

if TYPE_CHECKING:
    from himmel_bitstream import Maps, Picture

# Packets to look at after a keyframe.
_PROBED = 64


class Bitstream(Backend):
    """Vectors with their references, and the residual from its coefficients."""

    name = "bitstream"
    codecs = frozenset({engine.CODEC})
    residual_kind = "exact"
    distance_kind = "exact"
    step_cost = "parsing that picture, and the headers of those before it"

    def why_not(self, file: VideoFile) -> str | None:
        """Another codec, no engine, or a stream that the engine refuses."""
        if file.codec != engine.CODEC:
            return f"it only reads H.264, not {file.codec}"
        if not engine.is_available():
            return f"{NO_ENGINE} ({GET_ENGINE})"
        reason: str | None = "every picture is a keyframe"
        with Decoder(file.path, file.index, vectors=False) as decoder:
            for place in places_to_look_at(file):
                reason = _why_no_vectors(decoder, file.index.start_for(place), place)
                if reason is None:
                    break
        return reason

    def reason(self, file: VideoFile, *, asked: bool) -> str:
        """Says what is spared."""
        return "requested" if asked else "the H.264 stream is parsed without decoding"

    def intra_shares(self, file: VideoFile, numbers: Sequence[int]) -> Mapping[int, float] | None:
        """By the types of macroblocks; None if the engine refuses the stream."""
        if file.codec != engine.CODEC or not engine.is_available():
            return None
        wanted = frozenset(numbers)
        shares: dict[int, float] = {}
        with Decoder(file.path, file.index, vectors=False) as decoder:
            for segment in plan_segments(file.index, [{number} for number in numbers]):
                try:
                    for picture in engine.parse(decoder, segment, keep=wanted, strict=True):
                        if picture.number in wanted:
                            shares[picture.number] = engine.intra_share(picture)
                except ValueError:
                    return None
        return shares

    def spent(self, file: VideoFile, numbers: Sequence[int], cell: int, threads: int) -> Mapping[int, Spent] | None:
        """Each picture is parsed alone; None if the engine refuses the stream."""
        # A stream without any vectors can be parsed as well; one that is refused is so from its first picture on.
        if self.intra_shares(file, file.index.key_numbers[:1].tolist()) is None:
            return None
        plan = Plan(file, frozenset(), frozenset(numbers), cell, None)
        segments = plan_segments(file.index, [{number} for number in numbers])
        parts = run_tasks([partial(_read_spent, segment=segment, plan=plan) for segment in segments], threads)
        return {number: spent for part in parts for number, spent in part.items()}

    def source(self, file: VideoFile, *, accumulate: bool) -> AbstractContextManager[VideoFile]:
        """The file; a trace needs its references too, from which pixels without a vector are taken."""
        return nullcontext(file.with_references() if accumulate else file)

    def plan(self, wanted: Wanted) -> Reading:
        """Anchors are decoded, steps parsed."""
        if wanted.accumulate:
            return plan_traces(wanted, trace_parsed, ends=wanted.source.keyframes)
        plan = wanted.plan_steps()
        read = partial(_read_steps, plan=plan)
        parsed = plan_segments(plan.file.index, [{step} for step in plan.steps])
        return Reading(plan_anchors(wanted.plan_anchors()) + [Work(read, plan.file, (segment,)) for segment in parsed])

    def every(self, file: VideoFile, segments: Iterable[Segment], cell: int) -> Iterator[Found]:
        """Each picture is parsed once, in the order of decoding."""
        plan = Plan(file, frozenset(), frozenset(), cell, None)
        for picture in _parse_all(file, segments):
            window = _shown_window(picture, file.format)
            step = None if window is None else _make_step(picture, plan, window)
            if step is not None:
                damaged = picture.is_damaged
                yield Found(picture.number, picture.kind, step, picture.quantiser, damaged)

    def vectors(self, file: VideoFile, segments: Iterable[Segment]) -> Iterator[FoundVectors]:
        """Each with the picture that its slice's reference list names."""
        for picture in _parse_all(file, segments):
            window = _shown_window(picture, file.format)
            if window is not None:
                vectors, damaged = _list_vectors(picture, file, window[:2]), picture.is_damaged
                yield FoundVectors(picture.number, picture.kind, vectors, picture.quantiser, damaged)


def _parse_all(file: VideoFile, segments: Iterable[Segment]) -> "Iterator[Picture]":
    """The wanted pictures, which are parsed as soon as they are looked into."""
    with Decoder(file.path, file.index, vectors=False) as decoder:
        for segment in segments:
            wanted = frozenset(segment.wanted)
            for picture in engine.parse(decoder, segment, keep=wanted):
                if picture.number in wanted:
                    yield picture


def _list_vectors(picture: "Picture", file: VideoFile, corner: tuple[int, int]) -> npt.NDArray[np.void]:
    """A picture's `VECTOR` [V]."""
    vectors, rank = picture.vectors(), file.index.rank
    x, y, width, height = (vectors[name].astype(np.int64) for name in ("x", "y", "w", "h"))
    # A field's block covers every second line.
    lines = np.where(vectors["field"] > 0, 2 * height - 1, height)
    dx, dy = engine.displacements(vectors)
    past = rank[np.maximum(vectors["ref_number"], 0)] <= rank[picture.number]
    blocks = Blocks(np.stack((x, y, x + width, y + lines), axis=1), dx.astype(float), dy.astype(float), past)
    told = {"reference": vectors["ref_number"], "distance": vectors["distance"], "field": vectors["field"]}
    return displayed_vectors(blocks, file.format, corner, **told)


def _why_no_vectors(decoder: Decoder, start: int, last: int) -> str | None:
    """Try the first packets from a keyframe: None if one of them holds vectors, else the reason in a clause.

    Args:
        start, last: decode-order numbers of the packets to look at; at most 64 are.
    """
    looked_at = Segment(start, tuple(range(start, min(last, start + _PROBED) + 1)))
    try:
        for picture in engine.parse(decoder, looked_at, keep=frozenset(looked_at.wanted), strict=True):
            if picture.kind != "I" and len(picture.vectors()):
                return None
    except ValueError as error:
        return f"the bitstream engine does not support {error}"
    return "the pictures looked at have no vectors"


def _read_steps(decoder: Decoder, segment: Segment, *, plan: Plan) -> Extract:
    """Maps of a segment's steps.

    Pictures whose references are missing (reading began at a recovery point) are tried again from earlier keyframes.
    """
    result = Extract()

    def read(start: int, wanted: frozenset[int]) -> frozenset[int]:
        whole: set[int] = set()
        for picture in engine.parse(decoder, Segment(start, tuple(sorted(wanted))), keep=wanted):
            if picture.number not in wanted:
                continue
            window = _shown_window(picture, plan.file.format)
            step = None if window is None else _make_step(picture, plan, window)
            result.mark(picture.number, damaged=picture.is_damaged, resized=window is None)
            if step is not None:
                result.steps[picture.number] = step
                if not picture.missing_references:
                    whole.add(picture.number)
        return wanted - whole

    read_with_retries(plan.file.index, segment.start, frozenset(segment.wanted), read)
    return result


def _read_spent(decoders: Decoders, *, segment: Segment, plan: Plan) -> dict[int, Spent]:
    """What was spent on a segment's pictures; retries as for steps."""
    found: dict[int, Spent] = {}
    decoder = decoders.get(plan.file.path, plan.file.index, vectors=False)

    def read(start: int, wanted: frozenset[int]) -> frozenset[int]:
        whole: set[int] = set()
        for picture in engine.parse(decoder, Segment(start, tuple(sorted(wanted))), keep=wanted):
            if picture.number not in wanted:
                continue
            window = _shown_window(picture, plan.file.format)
            spent = None if window is None else _spent(picture, plan, window)
            if spent is not None:
                found[picture.number] = spent
                if not picture.missing_references:
                    whole.add(picture.number)
        return wanted - whole

    read_with_retries(plan.file.index, segment.start, frozenset(segment.wanted), read)
    return found


def _spent(picture: "Picture", plan: Plan, window: tuple[int, int, int, int]) -> Spent | None:
    """None for a picture that is damaged as a whole."""
    maps = _turned_maps(picture, plan, window)
    if maps is None:
        return None
    # A copy, so that the maps' other planes are not kept in memory by one of them.
    bits = maps.bits.copy()
    return dataclasses.replace(Spent.of(_step_of(maps)), bits=bits, intra=engine.intra_share(picture))


def _shown_window(picture: "Picture", fmt: PictureFormat) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) of what is shown of a picture; None if it is of another size than the file's first."""
    if picture.coded_size == (fmt.coded_width, fmt.coded_height):
        return *fmt.crop, fmt.width, fmt.height
    return picture.window if picture.window[2:] == (fmt.width, fmt.height) else None


def _make_step(picture: "Picture", plan: Plan, window: tuple[int, int, int, int]) -> Step | None:
    """Maps in displayed orientation; None for a picture that is damaged as a whole."""
    maps = _turned_maps(picture, plan, window)
    return None if maps is None else _step_of(maps)


def _turned_maps(picture: "Picture", plan: Plan, window: tuple[int, int, int, int]) -> "Maps | None":
    """The engine's maps in displayed orientation, displacements not divided by their distance."""
    fmt = plan.file.format
    maps = picture.maps(cell=plan.cell, window=window, lead=_lead(fmt, plan.cell), residual=True)
    if picture.damaged and not (maps.covered.any() or maps.intra.any()):
        return None
    planes, orientation = maps.planes, fmt.orientation
    planes[0:2] *= np.float32(maps.past_distance)
    planes[2:4] *= np.float32(maps.future_distance)
    for plane in (0, 2):
        planes[plane : plane + 2] = np.stack(orientation.vectors(planes[plane], planes[plane + 1]))
    return dataclasses.replace(maps, planes=orientation.planes(planes))


def _step_of(maps: "Maps") -> Step:
    return Step(
        past=maps.past,
        future=maps.future,
        past_valid=maps.past_valid,
        future_valid=maps.future_valid,
        past_distance=maps.past_distance,
        future_distance=maps.future_distance,
        residual=maps.residual,
        covered=maps.covered,
        num_vectors=maps.num_vectors,
    )


def _lead(fmt: PictureFormat, cell: int) -> tuple[int, int]:
    """Where the displayed picture's top left corner is not the stored one's, cells begin at the other end."""
    turns, mirrored = fmt.orientation.quarter_turns, fmt.orientation.mirrored
    # Stored right edge shown left: a half turn, a quarter turn to the left (its top), or a mirror of what was not.
    from_right = {0: mirrored, 1: False, 2: not mirrored, 3: True}[turns]
    from_bottom = {0: False, 1: not mirrored, 2: True, 3: mirrored}[turns]
    return (-fmt.width % cell if from_right else 0, -fmt.height % cell if from_bottom else 0)
