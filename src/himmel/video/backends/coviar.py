"""Backend "coviar": MPEG-4 Part 2 in fixed groups of pictures with accumulated vectors, as Wu et al. (2018) read it.

A file that is MPEG-4 Part 2 without B pictures is read as it is; any other is encoded again, as CoViAR does it, but at
its own size and with as many bits for an area as CoViAR's 340 x 256 pictures get from FFmpeg's default.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.video.frame import PictureType
from av.video.stream import VideoStream

from himmel._text import by_number
from himmel.errors import VideoError
from himmel.video.backends.libav import list_exported_vectors, plan_traced_vectors, trace_every
from himmel.video.backends.protocol import Backend, Found, FoundVectors, Reading, Wanted
from himmel.video.file.decoder import Decoder, Segment
from himmel.video.file.opened import VideoFile, open_video
from himmel.video.file.shown import shown_pictures

CODEC = "mpeg4"
GROUP = 12
_BITS_PER_PIXEL = 200_000 / (25 * 340 * 256)
# Only the order of pictures is looked at in the file that is made.
_RATE = 25


class Coviar(Backend):
    """Only if asked for: any file, as MPEG-4 Part 2."""

    name = "coviar"
    residual_kind = "approximate"
    distance_kind = "exact"
    step_cost = "decoding all pictures back to where its interval begins, or to a keyframe after that"
    always_accumulates = True

    def reason(self, file: VideoFile, *, asked: bool) -> str:
        """Says whether the file is read as it is."""
        if must_be_recoded(file):
            return f"requested; {file.codec} is encoded again as MPEG-4 Part 2 in groups of {GROUP} pictures"
        return "requested; the file is MPEG-4 Part 2 without B pictures"

    def source(self, file: VideoFile, *, accumulate: bool) -> AbstractContextManager[VideoFile]:
        """The file, or a temporary copy."""
        return recode(file) if must_be_recoded(file) else nullcontext(file)

    def plan(self, wanted: Wanted) -> Reading:
        """Anchors come from the file, steps are traced along the copy's vectors."""
        reading = plan_traced_vectors(wanted)
        return replace(reading, notes=wanted.source.notes) if wanted.is_copy else reading

    def every(self, file: VideoFile, segments: Iterable[Segment], cell: int) -> Iterator[Found]:
        """Each picture is traced back to the keyframe of its group."""
        with Decoder(file.path, file.index, vectors=True) as decoder:
            for segment in segments:
                yield from trace_every(decoder, file, segment.wanted, cell)

    def vectors(self, file: VideoFile, segments: Iterable[Segment]) -> Iterator[FoundVectors]:
        """Those of the copy, where there is one: each leads to the picture before."""
        return list_exported_vectors(file, segments)


def must_be_recoded(file: VideoFile) -> bool:
    """Whether a file is anything but progressive MPEG-4 Part 2 without B pictures."""
    return file.codec != CODEC or file.format.interlaced or not bool(file.with_references().index.reference.all())


@contextmanager
def recode(file: VideoFile) -> Iterator[VideoFile]:
    """Encode all shown pictures of a video again, for as long as the block lasts; about 2 Mbit/s of disk at 720p.

    Returns:
        a temporary MPEG-4 Part 2 file, picture k of which is the video's picture k in presentation order, at
        meaningless times; its notes say what could not be decoded.

    Raises:
        VideoError: the pictures can't be encoded, or there is no space for them.
    """
    with tempfile.TemporaryDirectory(prefix="himmel-coviar-") as folder:
        target = Path(folder) / "recoded.mp4"
        try:
            repeated, damaged = _encode(file, target)
        except (av.FFmpegError, OSError) as error:
            reason = (error.strerror or "unknown error").lower()
            raise VideoError(
                f"{str(file.path)!r} cannot be encoded as MPEG-4 Part 2 for backend 'coviar' ({reason}); free some"
                f" space in {tempfile.gettempdir()!r} or choose another backend."
            ) from error
        copy = open_video(target)
        notes = []
        if repeated:
            notes.append(
                by_number(
                    repeated,
                    "{} picture cannot be decoded: the one before it is used instead.",
                    "{} pictures cannot be decoded: the one before each is used instead.",
                )
            )
        if damaged:
            notes.append(
                by_number(
                    damaged,
                    "{} picture is damaged: it was encoded again with what the decoder guessed.",
                    "{} pictures are damaged: they were encoded again with what the decoder guessed.",
                )
            )
        yield replace(copy, format=replace(copy.format, orientation=file.format.orientation), notes=tuple(notes))


def _encode(file: VideoFile, target: Path) -> tuple[int, int]:
    """Write the file; returns how many pictures had to be repeated, and how many of the others are damaged."""
    # Scene cuts would begin groups of their own: CoViAR's have a fixed length.
    options = {"g": str(GROUP), "bf": "0", "sc_threshold": "1000000000"}
    repeated, damaged, fmt = 0, 0, file.format
    with Decoder(file.path, file.index, vectors=False) as decoder, av.open(str(target), "w") as container:
        stream = cast(VideoStream, container.add_stream(CODEC, rate=_RATE, options=options))
        stream.width, stream.height, stream.pix_fmt = fmt.width, fmt.height, "yuv420p"
        stream.bit_rate = max(200_000, round(_BITS_PER_PIXEL * _RATE * fmt.width * fmt.height))
        # The same file on any number of processors.
        stream.codec_context.thread_count = 1
        for place, (frame, is_repeated, is_damaged) in enumerate(shown_pictures(decoder, file)):
            repeated += is_repeated
            damaged += is_damaged
            frame.pts, frame.time_base = place, Fraction(1, _RATE)
            # Otherwise the encoder would begin a group wherever the original did.
            frame.pict_type = PictureType.NONE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return repeated, damaged
