"""From a file and a question to an answer, and everything that was read to give it."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from himmel._memory import peak_memory
from himmel._versions import versions
from himmel.choices import Quantization
from himmel.errors import UsageError
from himmel.hosts.loading import check_placing
from himmel.model.config import HimmelConfig
from himmel.model.modeling import HimmelForConditionalGeneration
from himmel.model.placement import PLACEMENTS
from himmel.model.processor import HimmelProcessor
from himmel.settings import check_choice, check_count
from himmel.video import Decomposition, Video, draw_streams


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
        seconds: wall time by stage.
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


def default_checkpoint() -> Path:
    """The checkpoint folder inside the package: adapter, LoRA and projector for the nano host."""
    return Path(str(files("himmel") / "nano" / "checkpoint"))


def ask(
    video: str | os.PathLike[str] | Video,
    question: str,
    *,
    model: HimmelForConditionalGeneration | None = None,
    adapter: str | os.PathLike[str] | None = None,
    host: str | None = None,
    choices: Sequence[str] = (),
    num_anchors: int | None = None,
    steps_per_interval: int | None = None,
    tokens_per_interval: int | None = None,
    anchor_mode: str | None = None,
    placement: str | None = None,
    backend: str = "auto",
    accumulate: bool | None = None,
    motion: bool = True,
    max_new_tokens: int = 64,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
    device_map: str | None = None,
    quantization: Quantization | None = None,
    picture: str | os.PathLike[str] | None = None,
) -> Answer:
    """Answer a question about a video.

    Args:
        video: a file, or one that is open already.
        question: not empty.
        model: a model to ask; it saves loading one for each question. Excludes what says how to load one.
        adapter: checkpoint folder; None takes the one in the package.
        host: name or folder of a host in place of the checkpoint's own.
        choices: options to score by their likelihood, at least two; without any, the model answers in its own words.
        num_anchors, steps_per_interval, anchor_mode: see `Video.decompose`; at most 64 anchors and 128 steps; None
            takes what the checkpoint names.
        tokens_per_interval: motion tokens of each interval, the first of those that the adapter makes; None for all.
        placement: where motion tokens stand, see `HimmelConfig`; None takes what the adapter was trained with.
        backend: see `Video.decompose`.
        accumulate: see `Video.decompose`; None takes what the adapter was trained with.
        motion: whether the model sees motion tokens, or the anchors alone.
        max_new_tokens: where an answer is cut.
        seed: of torch's global generator. Answers are greedy and draw nothing; it stands in the record.
        threads: of torch and of reading; None leaves torch's as they are.
        device: torch's name of one, such as "cuda"; None takes the first GPU if there is one.
        device_map, quantization: see `HimmelForConditionalGeneration.from_config`.
        picture: draw the streams into this PNG file.

    Raises:
        UsageError: the question is empty, an argument is out of range, or two exclude each other.
        VideoError: the file can't be read.
        HostError: the host or the checkpoint is missing or damaged, or they don't fit.

    Example:
        >>> import himmel
        >>> himmel.ask("match.mp4", "Which way does the ball move?", choices=["left", "right"])  # doctest: +SKIP
    """
    _check(question, choices, max_new_tokens)
    loading: dict[str, Any] = {"device": device, "device_map": device_map, "quantization": quantization}
    if model is not None and any(value is not None for value in (adapter, host, *loading.values())):
        raise UsageError("A model came together with an adapter, host or device; give either the one or the others.")
    seconds: dict[str, float] = {}
    _check_overrides(num_anchors, steps_per_interval, placement)
    opened = video if isinstance(video, Video) else Video(video)
    if device_map is None:
        loading["device"] = _device(device)
    check_placing(**loading)
    folder = default_checkpoint() if adapter is None else Path(adapter)
    config = HimmelConfig.load(folder) if model is None else model.config
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    # Before the model is loaded: a damaged file is found out at once, and decoding never adds to the model's memory.
    decomposition = opened.decompose(
        num_anchors=config.num_anchors if num_anchors is None else num_anchors,
        anchor_mode=config.anchor_mode if anchor_mode is None else anchor_mode,
        steps_per_interval=config.steps_per_interval if steps_per_interval is None else steps_per_interval,
        backend=backend,
        accumulate=config.accumulate if accumulate is None else accumulate,
        threads=threads,
        rgb_difference=config.rgb_difference,
    )
    seconds |= decomposition.seconds
    with _timed(seconds, "hash"):
        sha256 = opened.sha256
    if picture is not None:
        with _timed(seconds, "draw"):
            draw_streams(decomposition, picture)
    with _timed(seconds, "load"):
        loaded = model or HimmelForConditionalGeneration.from_pretrained(folder, host=host, **loading)
    with _overridden(loaded.config, tokens_per_interval, placement):
        with _timed(seconds, "prepare"):
            processor = HimmelProcessor(loaded.config, loaded.host)
            sample = processor.prepare(decomposition)
            prompt = processor.encode([sample], [[(question, None)]], motion=motion)
        with _timed(seconds, "answer"):
            if choices:
                asked = processor.encode_choices([sample], [[(question, choices)]], motion=motion)
                scores = _share(choices, loaded.score_choices(asked)[0][0])
                text = max(scores, key=lambda score: score.probability).text
            else:
                scores = ()
                ids = loaded.generate(**prompt, max_new_tokens=max_new_tokens, do_sample=False)
                text = processor.decode(ids[0, prompt["input_ids"].shape[1] :])
    return Answer(
        text=text,
        question=question,
        choices=scores,
        video=_describe(decomposition, sha256),
        host=loaded.host.folder,
        adapter=None if model is not None else str(folder),
        motion=motion,
        tokens={str(kind): count for kind, count in processor.count_tokens(prompt).items()},
        prompt_sha256=hashlib.sha256(prompt["input_ids"].numpy().astype("<i8").tobytes()).hexdigest(),
        max_new_tokens=max_new_tokens,
        seed=seed,
        seconds=seconds,
        peak_memory=peak_memory(),
        notes=decomposition.notes,
        versions=versions(),
    )


def _check(question: str, choices: Sequence[str], max_new_tokens: int) -> None:
    if not question.strip():
        raise UsageError("The question is empty; ask something, for example 'What moves?'.")
    if any(not text.strip() for text in choices):
        raise UsageError(f"One of the options {list(choices)} is empty; give each a text.")
    if len(choices) == 1:
        raise UsageError(f"The single option {choices[0]!r} leaves nothing to choose; give at least two.")
    if len({text.strip() for text in choices}) < len(choices):
        raise UsageError(f"The options {list(choices)} repeat one; give each once.")
    if max_new_tokens < 1:
        raise UsageError(f"max_new_tokens={max_new_tokens} leaves no room for an answer; give at least 1.")


def _check_overrides(num_anchors: int | None, steps_per_interval: int | None, placement: str | None) -> None:
    if num_anchors is not None:
        check_count("num_anchors", num_anchors)
    if steps_per_interval is not None:
        check_count("steps_per_interval", steps_per_interval)
    if placement is not None:
        check_choice("placement", placement, PLACEMENTS)


@contextmanager
def _overridden(config: HimmelConfig, tokens: int | None, placement: str | None) -> Iterator[None]:
    """Let each interval have `tokens` motion tokens, placed like that, within the block."""
    most = config.adapter.tokens_per_interval
    if tokens is not None and not 1 <= tokens <= most:
        raise UsageError(f"tokens_per_interval={tokens} is not possible; this adapter makes 1 to {most}.")
    before = config.tokens_per_interval, config.placement
    config.tokens_per_interval = before[0] if tokens is None else tokens
    config.placement = placement or before[1]
    try:
        yield
    finally:
        config.tokens_per_interval, config.placement = before


def _share(choices: Sequence[str], log_likelihoods: Tensor) -> tuple[ChoiceScore, ...]:
    shares = log_likelihoods.double().softmax(0).tolist()
    scored = zip(choices, log_likelihoods.tolist(), shares, strict=True)
    return tuple(ChoiceScore(text, likelihood, share) for text, likelihood, share in scored)


def _device(name: str | None) -> torch.device:
    place = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=place).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"There is no device {name!r}; name one that `himmel doctor` lists, such as 'cpu'.") from error


def _describe(decomposition: Decomposition, sha256: str) -> VideoRead:
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
    )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begin
