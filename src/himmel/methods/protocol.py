"""What a method is: how a video becomes a prompt, and what happens to it inside the language model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.adapter.tensors import ShowsShapes
from himmel.hosts import Host
from himmel.methods.answer import VideoRead
from himmel.methods.decoding import Decoding
from himmel.methods.prefixes import NOTHING_PAST, Past
from himmel.methods.question import Question
from himmel.methods.removed import Removed
from himmel.model import HimmelConfig
from himmel.model.encoder import Conversation, PromptEncoder, TokenCounts
from himmel.model.host_model import HostModel
from himmel.model.inputs import ModelInputs
from himmel.model.sample import PreparedSample
from himmel.video import Anchor, Decomposition, Spending, Video

if TYPE_CHECKING:
    from himmel.methods.asking import Asking


@dataclass(frozen=True, eq=False)
class Read:
    """What was read of a video.

    Attributes:
        frames: pictures that the host may see, in the order of time.
        record: what an answer says about it.
        decomposition: of which the frames are the anchors; None where nothing lies between them.
        notes: sentences about what was unusual.
        seconds: wall time by stage.
        spending: what the codec spent on the frames; None where nobody asked.
    """

    frames: tuple[Anchor, ...]
    record: VideoRead
    decomposition: Decomposition | None = None
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] | None = None
    spending: Spending | None = None


class Reading(Protocol):
    """Everything that decides what is read of a file and what is prepared of it; a frozen dataclass.

    Methods with equal readings share what was read and prepared for one of them.
    """

    def read(self, video: Video, *, threads: int | None = None) -> Read:
        """Read a video.

        Raises:
            UsageError, VideoError: as `Video.decompose`.
        """

    def __hash__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Shown:
    """What a model sees of one video, ready for the encoder.

    Attributes:
        sample: pictures, with motion streams or without.
        preface: what is said before the question; empty for nothing.
        evidence: whether the preface tells of the video, so that it is left out where the model is asked blind.
        notes: sentences about how it was prepared.
        vision: what the host's vision part made of the sample's pictures, see `SeenPictures`; None where it has not
            looked yet.
        past: where the beginning of prompts about it is kept.
    """

    sample: PreparedSample
    preface: str = ""
    evidence: bool = False
    notes: tuple[str, ...] = ()
    vision: BaseModelOutputWithPooling | None = field(default=None, repr=False)
    past: Past = field(default=NOTHING_PAST, repr=False)

    def ask(self, question: Question) -> str:
        """What the model is asked: the preface and the question's prompt."""
        return f"{self.preface}\n{question.prompt}" if self.preface else question.prompt

    def turns(self, question: Question) -> Conversation:
        """The whole conversation: the preface comes before its first question."""
        if not question.before:
            return [(self.ask(question), None)]
        (first, answer), *others = question.before
        opening = f"{self.preface}\n{first}" if self.preface else first
        return [(opening, answer), *others, (question.prompt, None)]

    def ask_blind(self, question: Question) -> str:
        """The same without anything that tells of the video."""
        return question.prompt if self.evidence else self.ask(question)


def show_frames(read: Read, host: Host) -> PreparedSample:
    """What was read as pictures for a host, without any interval; without a frame, no picture."""
    return PreparedSample.of_pictures(host.prepare_images([one.image for one in read.frames]) if read.frames else {})


@dataclass(frozen=True)
class Reply:
    """What a model replied to one question.

    Attributes:
        text: what it said; empty where options were scored.
        likelihoods: natural logarithm of each option's likelihood with its end of turn; empty without options.
        scores: what the options are compared by, see `Question.scoring`.
        tokens: prompt tokens by kind, as they went into the language model, without the options' own.
        prompt_sha256: hash of the prompt's token ids as little-endian 64-bit integers, before anything was removed.
        first_token: `time.perf_counter()` when the first token of the answer, or the options' scores, were there.
        removed: what the method took away; None where it takes nothing.
        cached: prompt tokens that were not read again, as an earlier question about the video had begun with them.
    """

    text: str
    likelihoods: tuple[float, ...]
    scores: tuple[float, ...]
    tokens: TokenCounts
    prompt_sha256: str
    first_token: float
    removed: Removed | None = None
    cached: int = 0


@dataclass(frozen=True, kw_only=True, repr=False)
class Reduced(ShowsShapes):
    """Prompts from which some of the pictures' tokens were taken.

    Attributes:
        inputs: of the B prompts, padded on the left; what is left has the positions that it had.
        vision: the features of the pictures' tokens that are left.
        columns: int64 [B, L], which column of the former inputs each one was; -1 for padding.
        removed: for each prompt.
    """

    inputs: ModelInputs
    vision: BaseModelOutputWithPooling
    columns: Tensor
    removed: tuple[Removed, ...]


class Reducer(Protocol):
    """Takes tokens of pictures away before the language model reads them."""

    def __call__(self, inputs: ModelInputs, vision: BaseModelOutputWithPooling, shown: Sequence[Shown]) -> Reduced:
        """Choose among the tokens of each prompt's pictures.

        Raises:
            NothingRemovedError: nothing would be removed.
        """


class Method(Protocol):
    """A way to ask a host about a video; a frozen dataclass whose fields are its options, with defaults.

    Attributes:
        name: one of `MethodName`, as on the command line, or that of a method of your own.
        needs_adapter: whether it asks a model with an adapter. Others ask the host alone, without LoRA; of nano they
            take the image projector that the checkpoint brings, as no package ships one.
    """

    name: ClassVar[str]
    needs_adapter: ClassVar[bool]

    def reading(self, config: HimmelConfig | None) -> Reading:
        """What is to be read of a video; `config` is the adapter's, None where there is none."""

    def processor(self, model: HostModel) -> PromptEncoder:
        """What builds its prompts.

        Raises:
            UsageError: the model's adapter cannot do what the options ask for.
        """

    def prepare(self, read: Read, processor: PromptEncoder) -> Shown:
        """Make of what was read what the model sees."""

    def asking(self, model: HostModel, processor: PromptEncoder) -> "Asking | None":
        """What takes questions while others are being answered; None where the method answers batches as a whole.

        Args:
            model, processor: of this method.

        Raises:
            HostError: host and method don't fit.
        """

    def answer(
        self,
        model: HostModel,
        processor: PromptEncoder,
        shown: Sequence[Shown],
        questions: Sequence[Question],
        *,
        decodings: Sequence[Decoding],
    ) -> list[Reply]:
        """Ask one question about each of B videos, all in one batch where the method can.

        Args:
            model, processor: of this method.
            shown, questions: B of each.
            decodings: B ways to make an answer in the model's own words.

        Raises:
            UsageError: a prompt is longer than the host was made for (`PromptTooLongError`), or the method removed
                nothing of one (`NothingRemovedError`).
            HostError: host and prompts don't fit.
        """
