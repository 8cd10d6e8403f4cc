"""Backend "libav": the motion vectors that FFmpeg exports while it decodes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from himmel._text import by_number
from himmel.video.backends.decoded import decode_steps, plan_steps, read_blocks, type_of
from himmel.video.backends.places import places_to_look_at
from himmel.video.backends.protocol import Backend, Extract, Found, FoundVectors, Plan, Reading, Step, Wanted
from himmel.video.backends.trace import Run, block_canvas, link_blocks
from himmel.video.backends.trace_decoded import plan_decoded_traces, trace_run
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.opened import VideoFile
from himmel.video.file.reference import ZERO_B_VECTORS
from himmel.video.maps.accumulate import NOBODY, Links
from himmel.video.maps.raster import Blocks, covered_share, dense_moves, raster_blocks
from himmel.video.maps.residual import Planes, Prediction, residual_maps
from himmel.video.maps.vectors import displayed_vectors

FloatArray = npt.NDArray[np.float32]

# Pictures to look at after a keyframe.
_PICTURES = 3


class Libav(Backend):
    """Vectors with a sign but no reference, and decoded pixels minus those that they lead to."""

    name = "libav"
    residual_kind = "approximate"
    distance_kind = "estimated"
    step_cost = "decoding all pictures from the keyframe before it"

    def why_not(self, file: VideoFile) -> str | None:
        """None of a few pictures from all over the file holds vectors."""
        found, seen = _count_vectors(file)
        if found:
            return None
        if seen:
            return (
                by_number(seen, "{} picture looked at has", "{} pictures looked at have")
                + f" no vectors ({file.codec})"
            )
        return "every picture is a keyframe"

    def drawback(self, file: VideoFile) -> str | None:
        """FFmpeg exports vectors of some files that mean nothing."""
        if file.format.interlaced and file.codec == "h264":
            return "FFmpeg exports the vectors of interlaced H.264 without usable positions"
        if file.codec in ZERO_B_VECTORS and not file.index.reference.all():
            return f"FFmpeg exports the vectors of B pictures as zeros ({file.codec})"
        return None

    def reason(self, file: VideoFile, *, asked: bool) -> str:
        """Names the codec."""
        return "requested" if asked else f"FFmpeg exports this file's motion vectors ({file.codec})"

    def source(self, file: VideoFile, *, accumulate: bool) -> AbstractContextManager[VideoFile]:
        """The file with its references looked up: FFmpeg does not say which one a vector refers to."""
        return nullcontext(file.with_references())

    def plan(self, wanted: Wanted) -> Reading:
        """Anchors and steps are decoded together."""
        if wanted.accumulate:
            return plan_traced_vectors(wanted)
        plan = wanted.plan()
        reader = _Steps(plan)
        return Reading(plan_steps(plan, reader), _mute_note(reader.mute, plan.file))

    def every(self, file: VideoFile, segments: Iterable[Segment], cell: int) -> Iterator[Found]:
        """Each picture is decoded once."""
        with Decoder(file.path, file.index, vectors=True) as decoder:
            for segment in segments:
                plan = Plan(file, frozenset(), frozenset(segment.wanted), cell, None)
                yield from decode_steps(decoder, segment, plan, _Steps(plan), Extract())

    def vectors(self, file: VideoFile, segments: Iterable[Segment]) -> Iterator[FoundVectors]:
        """Each with the nearest decoded reference of its direction."""
        return list_exported_vectors(file, segments)


def list_exported_vectors(file: VideoFile, segments: Iterable[Segment]) -> Iterator[FoundVectors]:
    """Vectors that FFmpeg exports, without the last steps of reconstruction, which cost a third of the time."""
    with Decoder(file.path, file.index, vectors=True, pixels=False) as decoder:
        for segment in segments:
            wanted = frozenset(segment.wanted)
            mute = _mute_pictures(file, wanted)
            for number, frame in decoder.pictures(segment):
                kind, damaged = type_of(frame), frame.is_corrupt
                readable = number in wanted and number not in mute
                blocks = read_blocks(frame, file.format) if readable else Blocks.empty()
                del frame
                if number in wanted:
                    yield FoundVectors(number, kind, _list_vectors(blocks, number, file), damaged=damaged)


def _list_vectors(blocks: Blocks, number: int, file: VideoFile) -> npt.NDArray[np.void]:
    """A picture's `VECTOR` [V]."""
    rank = file.index.rank
    past, future = file.index.references_for(number)
    reference = np.where(blocks.past, past, future)
    distance = np.where(reference == NOBODY, 0, np.abs(rank[number] - rank[reference]))
    return displayed_vectors(blocks, file.format, file.format.crop, reference=reference, distance=distance)


def plan_traced_vectors(wanted: Wanted) -> Reading:
    """How to read anchors, and steps that are traced back along the vectors that FFmpeg exports."""
    file = wanted.source
    mute = _mute_pictures(file, wanted.plan_steps().steps)
    reading = plan_decoded_traces(wanted, _Traces(file, mute), ends=file.keyframes)
    return replace(reading, notes=_mute_note(mute, file) + reading.notes)


def trace_every(decoder: Decoder, file: VideoFile, numbers: Sequence[int], cell: int) -> Iterator[Found]:
    """Maps of pictures in decode order, each traced back to the keyframe before it, group by group."""
    for start, group in groupby(numbers, file.index.start_for):
        plan = Plan(file, frozenset(), frozenset(group), cell, None)
        reader = _Traces(file, _mute_pictures(file, plan.steps))
        yield from trace_run(decoder, start, plan, Run(start, plan.steps), reader)


def _mute_pictures(file: VideoFile, numbers: frozenset[int]) -> frozenset[int]:
    """Those whose exported vectors mean nothing."""
    if file.codec not in ZERO_B_VECTORS:
        return frozenset()
    return frozenset(number for number in numbers if not file.index.reference[number])


def _mute_note(mute: frozenset[int], file: VideoFile) -> tuple[str, ...]:
    if not mute:
        return ()
    one = f"{{}} step is a B picture, whose vectors FFmpeg does not export for {file.codec}."
    many = f"{{}} steps are B pictures, whose vectors FFmpeg does not export for {file.codec}."
    return (by_number(len(mute), one, many),)


class _Steps:
    """Maps of single pictures, each by its own vectors."""

    vectors = True

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._references = {step: plan.file.index.references_for(step) for step in plan.steps}
        self.mute = _mute_pictures(plan.file, plan.steps)

    def pictures_of(self, step: int) -> set[int]:
        """The step alone: what its vectors lead to is decoded on the way."""
        return {step}

    def pixels_of(self, step: int) -> set[int]:
        """The step and its references."""
        return {step, *(number for number in self._references[step] if number != NOBODY)}

    def has_blocks(self, step: int) -> bool:
        """Except B pictures whose vectors FFmpeg exports as zeros."""
        return step not in self.mute

    def make(self, step: int, pixels: Mapping[int, Planes], blocks: Blocks) -> Step:
        """Maps of both directions, each divided by the distance to the nearest decoded reference."""
        plan, fmt, rank = self._plan, self._plan.file.format, self._plan.file.index.rank
        place = fmt.orientation, fmt.crop, *plan.file.displayed_size, plan.cell
        maps: list[tuple[FloatArray, FloatArray, float]] = []
        predictions: list[Prediction] = []
        used = np.zeros(len(blocks.past), np.bool_)
        for reference, chosen, sign in zip(self._references[step], (blocks.past, ~blocks.past), (-1, 1), strict=True):
            # Without a reference to divide by, vectors of that direction mean nothing.
            chosen = chosen & (reference != NOBODY)
            part = blocks.select(chosen)
            used |= chosen
            displacement, share = raster_blocks(part, *place)
            distance = float(abs(rank[step] - rank[reference])) if share.any() else 0.0
            maps.append((sign * displacement, share, distance))
            if distance and reference in pixels:
                moves = dense_moves(part, fmt.crop, fmt.width, fmt.height)
                predictions.append(Prediction(pixels[reference], *moves))
        residual = np.zeros((3, *plan.grid), np.float32)
        if predictions and step in pixels:
            residual = residual_maps(pixels[step], predictions, fmt.orientation, plan.cell)
        (past, past_valid, past_distance), (future, future_valid, future_distance) = maps
        return Step(
            past=past,
            future=future,
            past_valid=past_valid,
            future_valid=future_valid,
            past_distance=past_distance,
            future_distance=future_distance,
            residual=residual,
            covered=covered_share(blocks.select(used), *place),
            num_vectors=len(blocks.past),
        )


class _Traces:
    """Pixels are followed along exported vectors."""

    vectors = True

    def __init__(self, file: VideoFile, mute: frozenset[int]) -> None:
        self._index = file.index
        self._mute = mute
        self.canvas = block_canvas(file.format)
        self.corner = file.format.crop

    def sources(self, number: int) -> tuple[int, int]:
        """The nearest decoded references."""
        return self._index.references_for(number)

    def is_mute(self, number: int) -> bool:
        """FFmpeg exports zeros for it."""
        return number in self._mute

    def links(self, number: int, blocks: Blocks, pixels: Mapping[int, Planes]) -> Links:
        """By the vectors."""
        return link_blocks(blocks, self.sources(number), self.canvas)


def _count_vectors(file: VideoFile) -> tuple[int, int]:
    """(vectors, pictures looked at) among the first pictures after keyframes at a few places of the file."""
    index = file.index
    found = seen = 0
    starts = sorted({index.start_for(place) for place in places_to_look_at(file)})
    with Decoder(file.path, index, vectors=True) as decoder:
        for start in starts:
            last = min(start + _PICTURES, len(index.size) - 1)
            for number, frame in decoder.pictures(Segment(start, tuple(range(start, last + 1)))):
                found += len(read_blocks(frame, file.format).past)
                seen += not index.key[number]
            if found:
                break
    return found, seen
