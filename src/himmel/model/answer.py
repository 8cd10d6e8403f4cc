"""An answer, and the record of everything that was read to give it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from himmel.errors import HostError
from himmel.video import Decomposition


@dataclass(frozen=True)
class ChoiceScore:
    """One option: its text, the logarithm of its likelihood after the question, and its share among the options."""

    text: str
    log_likelihood: float
    probability: float


@dataclass(frozen=True)
class AnchorRead:
    """A frame that the host saw: its index, its time in seconds, whether it is a keyframe, why it (`Anchor.reason`)."""

    frame: int
    time: float
    keyframe: bool
    reason: str


@dataclass(frozen=True)
class IntervalRead:
    """The pictures whose motion and residual were read between two anchors, and their times in seconds."""

    frames: tuple[int, ...]
    times: tuple[float, ...]


@dataclass(frozen=True)
class VideoRead:
    """What was read of the file; the fields are those of `Decomposition`, without its pictures and maps.

    Attributes:
        anchor_width: width of the anchors handed to the host, in pixels; `anchor_height` likewise.
    """

    path: str
    sha256: str
    codec: str
    width: int
    height: int
    duration: float
    num_frames: int
    average_rate: float
    backend: str
    backend_reason: str
    residual_kind: str
    distance_kind: str
    accumulated: bool
    cell: int
    anchor_width: int
    anchor_height: int
    anchors: tuple[AnchorRead, ...]
    intervals: tuple[IntervalRead, ...]
    num_vectors: int
    num_damaged: int


@dataclass(frozen=True)
class Answer:
    """An answer and how it came about.

    Attributes:
        text: what the model said, or the likeliest option where options were given.
        question: as asked.
        choices: the options in their given order, each with its probability; empty where none were given.
        video: what was read of the file.
        host: folder or name of the host.
        adapter: checkpoint folder; None where the caller brought the model.
        motion: whether the model saw motion tokens.
        tokens: prompt tokens by kind: text, image, motion; without the options' own.
        prompt_sha256: hash of the prompt's token ids, as little-endian 64-bit integers.
        max_new_tokens: the answer was cut there at the latest.
        seed: as given.
        seconds: wall time by stage, of what was done for this answer: what a session had already is not in it.
        peak_memory: the most that this process ever held, in bytes.
        notes: sentences about what was unusual.
        versions: of everything that decides the result.
    """

    text: str
    question: str
    choices: tuple[ChoiceScore, ...]
    video: VideoRead
    host: str
    adapter: str | None
    motion: bool
    tokens: dict[str, int]
    prompt_sha256: str
    max_new_tokens: int
    seed: int
    seconds: dict[str, float]
    peak_memory: int
    notes: tuple[str, ...]
    versions: dict[str, str]


def share_out(choices: Sequence[str], log_likelihoods: Tensor) -> tuple[ChoiceScore, ...]:
    """Options with their log-likelihoods [C] and their shares among each other.

    Raises:
        HostError: a likelihood is not a number.
    """
    if log_likelihoods.isnan().any():
        raise HostError(
            "The model's scores are not numbers: weights of its host or adapter are damaged; `himmel doctor` names "
            "the damaged files of the cache."
        )
    shares = log_likelihoods.double().softmax(0).tolist()
    scored = zip(choices, log_likelihoods.tolist(), shares, strict=True)
    return tuple(ChoiceScore(text, likelihood, share) for text, likelihood, share in scored)


def describe(decomposition: Decomposition, sha256: str) -> VideoRead:
    """The record of a decomposition of the file with this hash."""
    height, width = decomposition.anchors[0].image.shape[:2]
    return VideoRead(
        path=str(decomposition.path),
        sha256=sha256,
        codec=decomposition.codec,
        width=decomposition.width,
        height=decomposition.height,
        duration=decomposition.duration,
        num_frames=decomposition.num_frames,
        average_rate=decomposition.average_rate,
        backend=decomposition.backend,
        backend_reason=decomposition.backend_reason,
        residual_kind=decomposition.residual_kind,
        distance_kind=decomposition.distance_kind,
        accumulated=decomposition.accumulated,
        cell=decomposition.cell,
        anchor_width=width,
        anchor_height=height,
        anchors=tuple(AnchorRead(one.frame, one.time, one.keyframe, one.reason) for one in decomposition.anchors),
        intervals=tuple(
            IntervalRead(tuple(one.frames.tolist()), tuple(one.times.tolist())) for one in decomposition.intervals
        ),
        num_vectors=decomposition.num_vectors,
        num_damaged=decomposition.num_damaged,
    )
