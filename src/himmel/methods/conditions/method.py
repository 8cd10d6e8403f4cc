"""`stream_pictures`: a condition as a method, for any host."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from himmel._checks import check_choice, check_whole
from himmel.choices import Backend, Interleaving
from himmel.methods.answer import AnchorRead, describe
from himmel.methods.asking import Asking, ask_batch
from himmel.methods.conditions.show import LONGEST_SIDE, Showing, decompose, draw
from himmel.methods.decoding import Decoding
from himmel.methods.interleaved import InterleavedEncoder, interleave
from himmel.methods.protocol import Read, Reading, Reply, Shown
from himmel.methods.question import Question
from himmel.model import HimmelConfig
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.video import Anchor, Video

MOST_PIXELS_A_SIDE = 8192


@dataclass(frozen=True, eq=False)
class ShowingRead(Read):
    """What was read, drawn: `frames` are the eight pictures, frames and maps alike, each with its kind as reason."""

    showing: Showing | None = None


@dataclass(frozen=True)
class StreamPicturesReading:
    """The pictures of one condition, see `himmel.methods.conditions.show`."""

    condition: Interleaving
    longest_side: int
    backend: Backend

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Read a video and draw its pictures."""
        longest = self.longest_side
        found = decompose(video, self.condition, longest=longest, backend=self.backend, threads=threads)
        showing = draw(found, self.condition, longest=longest)
        keys = set(video.keyframes.tolist())
        frames = tuple(Anchor(one.frame, one.time, one.frame in keys, one.image, one.kind) for one in showing.pictures)
        height, width = frames[0].image.shape[:2]
        record = describe(found, video.sha256)
        record = replace(
            record,
            anchors=tuple(AnchorRead(one.frame, one.time, one.keyframe, one.reason) for one in frames),
            anchor_width=width,
            anchor_height=height,
            intervals=(),
        )
        return ShowingRead(frames, record, notes=showing.notes, seconds=dict(found.seconds), showing=showing)


@dataclass(frozen=True, kw_only=True)
class StreamPictures:
    """`stream_pictures`: eight pictures, of frames, motion and residual, with a line before each (report, appendix S).

    Args:
        condition: which streams are shown and in which order: "A" 8 frames, "B" 4 frames and 4 motion maps in turn, "C"
            a frame, 3 motion maps, a frame and 3 residual maps, "D" 8 motion maps, "E" 8 residual maps.
        longest_side: most pixels along the longer side of each picture, 28 to 8192; 768 by default. The host's own rule
            for pictures then sees them.
        backend: where maps come from, see `Video.decompose`.

    Raises:
        UsageError: an option is out of its range.
    """

    name: ClassVar[str] = "stream_pictures"
    needs_adapter: ClassVar[bool] = False

    condition: Interleaving = "B"
    longest_side: int = LONGEST_SIDE
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        check_choice("condition", self.condition, get_args(Interleaving))
        check_whole("longest_side", self.longest_side, 28, MOST_PIXELS_A_SIDE)
        check_choice("backend", self.backend, get_args(Backend))

    def reading(self, config: HimmelConfig | None) -> Reading:
        """See `Method.reading`."""
        del config
        return StreamPicturesReading(self.condition, self.longest_side, self.backend)

    def processor(self, model: HostModel) -> PromptEncoder:
        """See `Method.processor`."""
        return InterleavedEncoder(model.host)

    def prepare(self, read: Read, processor: PromptEncoder) -> Shown:
        """The pictures, each after its line; a single picture in place of a video is shown as it is."""
        if isinstance(read, ShowingRead) and read.showing is not None:
            return Shown(interleave(processor.host, read.showing.visual))
        return Shown(interleave(processor.host, [one.image for one in read.frames]))

    def asking(self, model: HostModel, processor: PromptEncoder) -> Asking:
        """See `Method.asking`."""
        return Asking(model, processor)

    def answer(
        self,
        model: HostModel,
        processor: PromptEncoder,
        shown: Sequence[Shown],
        questions: Sequence[Question],
        *,
        decodings: Sequence[Decoding],
    ) -> list[Reply]:
        """See `Method.answer`."""
        return ask_batch(self.asking(model, processor), shown, questions, decodings=decodings)
