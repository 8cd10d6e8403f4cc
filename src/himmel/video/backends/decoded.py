"""One segment of a file -> images of its anchors and maps of its steps, by decoding."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

from av.sidedata.motionvectors import MotionVectors
from av.video.frame import PictureType as FFmpegType
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from himmel.choices import PictureType
from himmel.video.backends.protocol import Extract, Found, Plan, Step, Work
from himmel.video.file.decoder import Decoder, Segment, plan_segments, read_with_retries
from himmel.video.file.memory import vector_records
from himmel.video.file.picture import PictureFormat, anchor_image
from himmel.video.file.pyav import ONE_THREAD
from himmel.video.file.side_data import side_data
from himmel.video.maps.raster import Blocks
from himmel.video.maps.residual import Planes, copy_planes

# Decoders hold back at most 16 pictures: one that is waited for longer is lost.
PATIENCE = 32
# Keyframes that one worker decodes in a row.
_KEYFRAMES = 8
_TYPES: dict[int, PictureType] = {
    FFmpegType.I: "I",
    FFmpegType.P: "P",
    FFmpegType.B: "B",
    # Global motion is prediction from one picture (MPEG-4 Part 2), and switching slices are I or P (H.264).
    FFmpegType.S: "P",
    FFmpegType.SI: "I",
    FFmpegType.SP: "P",
}


class StepReader(Protocol):
    """How maps are made of decoded pictures.

    Attributes:
        vectors: exported vectors are read.
    """

    vectors: bool

    def pictures_of(self, step: int) -> set[int]:
        """Pictures that have to be decoded for a step, besides those that they are predicted from."""

    def pixels_of(self, step: int) -> set[int]:
        """Pictures whose samples are looked at for a step, of those that are decoded."""

    def has_blocks(self, step: int) -> bool:
        """Whether vectors are exported for a step, and mean anything."""

    def make(self, step: int, pixels: Mapping[int, Planes], blocks: Blocks) -> Step:
        """Maps of one step from what came of its pictures."""


def plan_steps(plan: Plan, reader: StepReader) -> list[Work]:
    """Anchors and steps, decoded together."""
    wanted = [{anchor} for anchor in plan.anchors] + [reader.pictures_of(step) for step in plan.steps]
    segments = plan_segments(plan.file.index, wanted)
    read = partial(read_steps, plan=plan, reader=reader)
    return [Work(read, plan.file, (segment,), vectors=reader.vectors) for segment in segments]


def plan_anchors(plan: Plan, *, vectors: bool = False) -> list[Work]:
    """The anchors alone.

    Args:
        vectors: the same decoders are going to be used to read vectors.
    """
    decoded = plan_segments(plan.file.index, [{anchor} for anchor in plan.anchors])
    alone = [segment for segment in decoded if segment.wanted == (segment.start,)]
    parts: list[tuple[Segment, ...]] = [(segment,) for segment in decoded if segment not in alone]
    # Keyframes are soon decoded; opening the file once more, which each worker that decodes has to do, takes as long.
    parts += [tuple(alone[k : k + _KEYFRAMES]) for k in range(0, len(alone), _KEYFRAMES)]
    return [Work(partial(read_anchors, plan=plan), plan.file, part, vectors=vectors) for part in parts]


def read_anchors(decoder: Decoder, segment: Segment, *, plan: Plan) -> Extract:
    """Images of a segment's anchors; what does not come is tried from earlier keyframes."""
    fmt, reformatter = plan.file.format, VideoReformatter()
    result = Extract()

    def read(start: int, missing: set[int]) -> set[int]:
        for number, frame in decoder.pictures(Segment(start, tuple(sorted(missing)))):
            if number in plan.anchors:
                mark(result, number, frame, fmt)
                frame = fit(frame, fmt, reformatter)
                result.images[number] = anchor_image(frame, fmt.orientation, plan.max_anchor_pixels, reformatter)
        return missing - result.images.keys()

    read_with_retries(plan.file.index, segment.start, set(segment.wanted), read)
    result.refusal = decoder.refusal
    return result


def read_steps(decoder: Decoder, segment: Segment, *, plan: Plan, reader: StepReader) -> Extract:
    """Images of a segment's anchors and maps of its steps; what does not come is tried from earlier keyframes."""
    result = Extract()

    def read(start: int, missing: set[int]) -> set[int]:
        for found in decode_steps(decoder, Segment(start, tuple(sorted(missing))), plan, reader, result):
            result.steps[found.number] = found.step
        return (missing & plan.anchors) - result.images.keys() | (missing & plan.steps) - result.steps.keys()

    read_with_retries(plan.file.index, segment.start, set(segment.wanted), read)
    result.refusal = decoder.refusal
    return result


def decode_steps(
    decoder: Decoder, segment: Segment, plan: Plan, reader: StepReader, result: Extract
) -> Iterator[Found]:
    """One pass over a segment: yields its steps, nearly in presentation order; anchors go into `result.images`.

    Pixels are held only as long as a step still needs them: its own and those of its one or two references.
    """
    steps = [number for number in segment.wanted if number in plan.steps]
    users: Counter[int] = Counter(n for step in steps for n in reader.pixels_of(step))
    fmt, reformatter = plan.file.format, VideoReformatter()
    held: dict[int, Planes] = {}
    waiting: dict[int, _Waiting] = {}
    seen: set[int] = set()

    def make(number: int) -> Found:
        arrived = waiting.pop(number)
        step = reader.make(number, held, arrived.blocks)
        for used in reader.pixels_of(number):
            users[used] -= 1
            if not users[used]:
                held.pop(used, None)
        return Found(number, arrived.type, step, damaged=arrived.damaged)

    places = count()
    for number, frame in decoder.pictures(segment):
        # Not by enumerate(), which would hold on to each picture.
        place = next(places)
        is_step = number in plan.steps and number not in seen
        if is_step:
            seen.add(number)
            blocks = read_blocks(frame, fmt) if reader.has_blocks(number) else Blocks.empty()
            waiting[number] = _Waiting(place, type_of(frame), frame.is_corrupt, blocks)
        if is_step or number in plan.anchors:
            mark(result, number, frame, fmt)
        frame = fit(frame, fmt, reformatter)
        if number in plan.anchors:
            result.images[number] = anchor_image(frame, fmt.orientation, plan.max_anchor_pixels, reformatter)
        if users[number]:
            held[number] = copy_planes(frame, reformatter)
        del frame
        for step, since in [(step, arrived.place) for step, arrived in waiting.items()]:
            if reader.pixels_of(step) <= held.keys() or place - since >= PATIENCE:
                yield make(step)
    for step in list(waiting):
        yield make(step)


class _Waiting(NamedTuple):
    """A step whose pixels or whose references' pixels have not all come."""

    place: int
    type: PictureType
    damaged: bool
    blocks: Blocks


def type_of(frame: VideoFrame) -> PictureType:
    """Type of a decoded picture."""
    return _TYPES.get(frame.pict_type, "?")


def mark(result: Extract, number: int, frame: VideoFrame, fmt: PictureFormat) -> None:
    """Remember a picture that is damaged or of another size than the first; before it is scaled."""
    resized = (frame.width, frame.height) != (fmt.width, fmt.height)
    result.mark(number, damaged=frame.is_corrupt, resized=resized)


def fit(frame: VideoFrame, fmt: PictureFormat, reformatter: VideoReformatter) -> VideoFrame:
    """A picture in the size of the file's first one, scaled if it has another."""
    if (frame.width, frame.height) == (fmt.width, fmt.height):
        return frame
    return reformatter.reformat(frame, width=fmt.width, height=fmt.height, **ONE_THREAD)


def read_blocks(frame: VideoFrame, fmt: PictureFormat) -> Blocks:
    """Copy the exported vectors of a picture, before it is scaled itself; no blocks if there are none."""
    data = side_data(frame, "MOTION_VECTORS")
    if not isinstance(data, MotionVectors):
        return Blocks.empty()
    # Two directions of 4x4 blocks is more than any codec has.
    limit = 2 * (max(fmt.coded_width, frame.width) // 4 + 4) * (max(fmt.coded_height, frame.height) // 4 + 4)
    blocks = Blocks.from_side_data(vector_records(data), limit)
    if (frame.width, frame.height) != (fmt.width, fmt.height):
        return blocks.scaled(fmt.width / frame.width, fmt.height / frame.height)
    return blocks
