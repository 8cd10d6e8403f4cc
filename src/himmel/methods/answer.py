"""An answer, and the record of everything that was read to give it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from himmel.choices import AnswerForm, Listing, Scoring
from himmel.errors import HostError
from himmel.methods.answer_view import answer_html
from himmel.methods.removed import Removed
from himmel.video import Decomposition, Video
from himmel.video.frames import Frames


@dataclass(frozen=True)
class ChoiceScore:
    """One option.

    Attributes:
        text: as given.
        log_likelihood: natural logarithm of its likelihood after the question, with its end of turn.
        score: what options are compared by, see `weigh`; the highest is the answer.
        probability: its share among the options: the softmax of the scores.
    """

    text: str
    log_likelihood: float
    score: float
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

    Where frames were decoded and nothing else was read, they are the anchors, and the backend is "none".

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
        text: what the model said, or the best option where options were given.
        question: as asked.
        choices: the options in their given order, each with its score; empty where none were given.
        method: name of the method; `options` are its options, defaults included.
        video: what was read of the file.
        host: folder or name of the host.
        adapter: checkpoint folder; None where the caller brought the model, or the host was asked without an adapter.
        tokens: prompt tokens by kind: text, image, motion; without the options' own, and without what was removed.
        removed: what the method took away before or inside the language model; None where it takes nothing.
        prompt_sha256: hash of the prompt's token ids, as little-endian 64-bit integers.
        scoring, listing, answer_form: how options were asked and scored, see `Question`; scoring is None where an API
            was asked, which scores none.
        max_new_tokens: the answer was cut there at the latest.
        seed: as given.
        seconds: wall time by stage, of what was done for this answer: what a session had already is not in it. What was
            done for several answers at once is shared out equally.
        first_token: seconds from the call to the first token of the answer, or to the options' likelihoods; opening
            the file is in it unless it was open already, and so is loading the model where that was not done yet.
        peak_memory: the most that this process ever held, in bytes.
        notes: sentences about what was unusual.
        versions: of everything that decides the result.
        cached_tokens: tokens of the prompt that the model had read for an earlier question about the video.
    """

    text: str
    question: str
    choices: tuple[ChoiceScore, ...]
    method: str
    options: dict[str, Any]
    video: VideoRead
    host: str
    adapter: str | None
    tokens: dict[str, int]
    removed: Removed | None
    prompt_sha256: str
    scoring: Scoring | None
    listing: Listing
    answer_form: AnswerForm
    max_new_tokens: int
    seed: int
    seconds: dict[str, float]
    first_token: float
    peak_memory: int
    notes: tuple[str, ...]
    versions: dict[str, str]
    cached_tokens: int = 0

    def _repr_html_(self) -> str:
        """In Jupyter: the answer, when what was read for it, and a table."""
        return answer_html(self)


def share_out(
    choices: Sequence[str], log_likelihoods: Sequence[float], scores: Sequence[float]
) -> tuple[ChoiceScore, ...]:
    """Options with their log-likelihoods [C], scores [C], and the softmax of the scores.

    Raises:
        HostError: a likelihood is not a number.
    """
    if any(math.isnan(one) for one in log_likelihoods):
        raise HostError(
            "The model's scores are not numbers: weights of its host or adapter are damaged; `himmel doctor` names "
            "the damaged files of the cache."
        )
    shares = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
    return tuple(ChoiceScore(*one) for one in zip(choices, log_likelihoods, scores, shares, strict=True))


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


def describe_frames(video: Video, found: Frames) -> VideoRead:
    """The record of decoded frames of a video."""
    height, width = found.frames[0].image.shape[:2] if found.frames else (0, 0)
    return VideoRead(
        path=str(video.path),
        sha256=video.sha256,
        codec=video.codec,
        width=video.width,
        height=video.height,
        duration=video.duration,
        num_frames=video.num_frames,
        average_rate=video.average_rate,
        backend="none",
        backend_reason="frames alone are read",
        residual_kind="none",
        distance_kind="none",
        accumulated=False,
        cell=0,
        anchor_width=width,
        anchor_height=height,
        anchors=tuple(AnchorRead(one.frame, one.time, one.keyframe, one.reason) for one in found.frames),
        intervals=(),
        num_vectors=0,
        num_damaged=found.num_damaged,
    )


def describe_picture(picture: npt.NDArray[np.uint8], *, path: str, sha256: str) -> VideoRead:
    """The record of a single picture, uint8 [H, W, 3], which is no video."""
    height, width = picture.shape[:2]
    return VideoRead(
        path=path,
        sha256=sha256,
        codec="picture",
        width=width,
        height=height,
        duration=0.0,
        num_frames=1,
        average_rate=0.0,
        backend="none",
        backend_reason="a single picture has no motion",
        residual_kind="none",
        distance_kind="none",
        accumulated=False,
        cell=0,
        anchor_width=width,
        anchor_height=height,
        anchors=(AnchorRead(0, 0.0, True, "uniform"),),
        intervals=(),
        num_vectors=0,
        num_damaged=0,
    )
