"""Questions about videos, answered from one loaded model: from a file and a question to an answer and its record."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Self, Unpack

import torch

from himmel._checks import check_picture, check_whole
from himmel._memory import peak_memory
from himmel._versions import versions
from himmel.choices import AnchorMode, Backend, DeviceMap, PlacementName, Quantization
from himmel.errors import UsageError
from himmel.hosts import Loading
from himmel.model.answer import Answer, ChoiceScore, VideoRead, describe, share_out
from himmel.model.cache import BoundedCache
from himmel.model.config import HimmelConfig
from himmel.model.inputs import ModelInputs
from himmel.model.modeling import HimmelForConditionalGeneration
from himmel.model.processor import HimmelProcessor
from himmel.model.reading import Reading
from himmel.model.request import AskOptions, Request
from himmel.model.sample import PreparedSample
from himmel.model.threads import threads_spin, torch_threads
from himmel.video import Decomposition, Video, draw_streams
from himmel.video.file.source import VideoSource

CACHE_BYTES = 512 * 2**20
MOST_CACHE_BYTES = 2**50


def default_checkpoint() -> Path:
    """The checkpoint folder inside the package: adapter, LoRA and projector for the nano host."""
    return Path(str(files("himmel") / "nano" / "checkpoint"))


def ask(
    video: VideoSource | Video,
    question: str,
    *,
    model: HimmelForConditionalGeneration | None = None,
    adapter: str | os.PathLike[str] | None = None,
    host: str | None = None,
    device: str | None = None,
    device_map: DeviceMap | None = None,
    quantization: Quantization | None = None,
    picture: str | os.PathLike[str] | None = None,
    **options: Unpack[AskOptions],
) -> Answer:
    """Answer one question about a video. For more than one, make a `Session`: it loads and reads once.

    Args:
        video: a file, its bytes, or a video that is open already.
        question: not empty.
        model, adapter, host, device, device_map, quantization: see `Session`.
        picture: see `Session.ask`.
        options: those of `Session.ask`.

    Raises:
        UsageError, VideoError, HostError: as `Session` and `Session.ask`.

    Example:
        >>> import himmel
        >>> himmel.ask("bunny.mp4", "Which way does the rabbit move?", choices=["left", "right"])  # doctest: +SKIP
    """
    session = Session(
        model,
        adapter=adapter,
        host=host,
        device=device,
        device_map=device_map,
        quantization=quantization,
        cache_bytes=0,
    )
    return session.ask(video, question, picture=picture, **options)


class Session:
    """A model that is loaded once and answers any number of questions, from several threads at once if need be.

    Each question brings its own settings; none of them shows in another's answer, and nothing outside of the session
    changes: neither the model, nor torch's random numbers, nor its number of threads elsewhere. What was read of a
    video is kept, so that a second question about it reads nothing again. A file that has changed since is read again.

    Args:
        model: the model to ask; None loads one at the first question (or the first use of `model`). Excludes what says
            how to load one. If its adapter is exchanged, make a new session.
        adapter: checkpoint folder or repository name; None takes the checkpoint in the package.
        host: name or folder of a host in place of the checkpoint's own.
        device: torch's name of one, such as "cuda"; None takes the first GPU if there is one, else the CPU.
        device_map, quantization: see `Loading`.
        cache_bytes: most memory for what was read of videos. A video in 1080p takes about 100 MB while its pictures and
            maps are kept, and a few MB once others have taken their place and only the model's inputs are left.

    Raises:
        UsageError: a model came together with how to load one, two options exclude each other, or there is no such
            device.
        HostError: there is no checkpoint at `adapter`.

    Example:
        >>> import himmel
        >>> session = himmel.Session()  # doctest: +SKIP
        >>> session.ask("bunny.mp4", "Which way does the rabbit move?", choices=["left", "right"])  # doctest: +SKIP
        >>> session.ask("bunny.mp4", "What is in the video?", max_new_tokens=32)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: HimmelForConditionalGeneration | None = None,
        *,
        adapter: str | os.PathLike[str] | None = None,
        host: str | None = None,
        device: str | None = None,
        device_map: DeviceMap | None = None,
        quantization: Quantization | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        given = (adapter, host, device, device_map, quantization)
        if model is not None and any(value is not None for value in given):
            raise UsageError("A model was given together with an adapter, host or device; give one or the other.")
        self._model = model
        self._host = host
        self._loading = Loading(
            device=_find_device(device) if device_map is None else device,
            device_map=device_map,
            quantization=quantization,
        )
        self._loading.check_machine()
        folder = str(default_checkpoint() if adapter is None else adapter)
        self._folder = folder if model is None else None
        self._config = HimmelConfig.load(folder) if model is None else model.config
        self._loading_lock = threading.Lock()
        # Half for each: pictures and maps, which are large, must not drive out the inputs of many more videos.
        check_whole("cache_bytes", cache_bytes, 0, MOST_CACHE_BYTES)
        self._maps: BoundedCache[_Read] = BoundedCache(cache_bytes // 2)
        self._inputs: BoundedCache[_Prepared] = BoundedCache(cache_bytes // 2)

    @property
    def model(self) -> HimmelForConditionalGeneration:
        """The model; loaded at the first use.

        Raises:
            HostError: the host or the checkpoint is missing or damaged, or they don't fit.
        """
        with self._loading_lock:
            if self._model is None:
                self._model = HimmelForConditionalGeneration.from_pretrained(
                    str(self._folder), host=self._host, loading=self._loading
                )
            return self._model

    def ask(
        self,
        video: VideoSource | Video,
        question: str,
        *,
        choices: Sequence[str] = (),
        num_anchors: int | None = None,
        steps_per_interval: int | None = None,
        tokens_per_interval: int | None = None,
        anchor_mode: AnchorMode | None = None,
        placement: PlacementName | None = None,
        backend: Backend = "auto",
        accumulate: bool | None = None,
        motion: bool = True,
        max_new_tokens: int = 64,
        seed: int = 0,
        threads: int | None = None,
        picture: str | os.PathLike[str] | None = None,
    ) -> Answer:
        """Answer a question about a video.

        Args:
            video: a file, its bytes, or a video that is open already.
            question: not empty.
            choices: options to score by their likelihood, at least two; without any, the model answers in its own
                words.
            num_anchors, steps_per_interval, anchor_mode: see `Video.decompose`; at most 64 anchors and 128 steps; None
                takes what the checkpoint names.
            tokens_per_interval: motion tokens of each interval, the first of those that the adapter makes; None for
                all.
            placement: where motion tokens go in the prompt, see `HimmelConfig`; None takes what the adapter was
                trained with.
            backend: see `Video.decompose`.
            accumulate: see `Video.decompose`; None takes what the adapter was trained with.
            motion: whether the model sees motion tokens, or the anchors alone.
            max_new_tokens: where an answer is cut.
            seed: 0 to 2**63 - 1. Answers are greedy and draw nothing at random, so that it changes nothing; it is in
                the record.
            threads: 1 to 256 threads for this question, of reading and of torch; None leaves torch's number as it is.
                Only nano computes with one then, unless OMP_WAIT_POLICY=PASSIVE keeps waiting threads from spinning.
            picture: draw the streams into this file, see `draw_streams`.

        Raises:
            UsageError: the question is empty, an argument is of a wrong type or out of range, or the prompt is longer
                than the host was made for.
            VideoError: the file can't be read.
            HostError: the host or the checkpoint is missing or damaged, or they don't fit.
        """
        request = Request(
            question=question,
            choices=choices,
            num_anchors=num_anchors,
            steps_per_interval=steps_per_interval,
            tokens_per_interval=tokens_per_interval,
            anchor_mode=anchor_mode,
            placement=placement,
            backend=backend,
            accumulate=accumulate,
            motion=motion,
            max_new_tokens=max_new_tokens,
            seed=seed,
            threads=threads,
        )
        if picture is not None:
            check_picture(picture)
        config = request.settings(self._config)
        seconds: dict[str, float] = {}
        with torch_threads(threads):
            prepared = self._prepare(video, request, picture, seconds)
        with torch_threads(threads or self._few_threads()):
            return self._answer(request, config, prepared, seconds)

    def _few_threads(self) -> int | None:
        on_processor = self.model.device.type == "cpu"
        return self.model.host.processor_threads if on_processor and threads_spin() else None

    def _prepare(
        self,
        video: VideoSource | Video,
        request: Request,
        picture: str | os.PathLike[str] | None,
        seconds: dict[str, float],
    ) -> "_Prepared":
        """What the model needs of a video, and the record of it; out of the caches where it is there."""
        reading = request.reading(self._config)
        source = video if isinstance(video, Video) else FileState.of(video) or Video(video)
        key = source, reading
        with self._inputs.alone(key):
            prepared = self._inputs.get(key)
            read = None
            if prepared is None or picture is not None:
                read = self._maps.get(key) or self._read(video, source, reading, request.threads, seconds)
            if read is not None and picture is not None:
                with _timed(seconds, "draw"):
                    draw_streams(read.decomposition, picture)
            if prepared is None and read is not None:
                with _timed(seconds, "load"):
                    model = self.model
                with _timed(seconds, "prepare"):
                    sample = HimmelProcessor(self._config, model.host).prepare(read.decomposition)
                prepared = _Prepared(sample, describe(read.decomposition, read.sha256), read.decomposition.notes)
                # The copy of bytes or of a file object is nobody's key again; kept, it would stay on the disk.
                if source is video or (isinstance(source, FileState) and source.is_unchanged()):
                    self._maps.put(key, read, _count_bytes(read.decomposition))
                    self._inputs.put(key, prepared, sum(tensor.nbytes for tensor in sample.tensors().values()))
        assert prepared is not None
        return prepared

    def _read(
        self,
        video: VideoSource | Video,
        source: "FileState | Video",
        reading: Reading,
        threads: int | None,
        seconds: dict[str, float],
    ) -> "_Read":
        # Before the model is loaded: a damaged file is found out at once, and decoding never adds to its memory.
        opened = source if isinstance(source, Video) else video if isinstance(video, Video) else Video(video)
        decomposition = reading.read(opened, threads=threads)
        seconds |= decomposition.seconds
        with _timed(seconds, "hash"):
            return _Read(decomposition, opened.sha256)

    def _answer(
        self, request: Request, config: HimmelConfig, prepared: "_Prepared", seconds: dict[str, float]
    ) -> Answer:
        model = self.model
        with _timed(seconds, "prepare"):
            processor = HimmelProcessor(config, model.host)
            prompt = processor.encode([prepared.sample], [[(request.question, None)]], motion=request.motion)
        with _timed(seconds, "answer"):
            if request.choices:
                scores = self._score(request, processor, prepared.sample)
                text = max(scores, key=lambda score: score.probability).text
            else:
                scores = ()
                text = self._continue(request, processor, prompt)
        return Answer(
            text=text,
            question=request.question,
            choices=scores,
            video=prepared.video,
            host=model.host.folder,
            adapter=self._folder,
            motion=request.motion,
            tokens={str(kind): count for kind, count in processor.count_tokens(prompt).items()},
            prompt_sha256=hashlib.sha256(prompt.input_ids.numpy().astype("<i8").tobytes()).hexdigest(),
            max_new_tokens=request.max_new_tokens,
            seed=request.seed,
            seconds=seconds,
            peak_memory=peak_memory(),
            notes=prepared.notes,
            versions=versions(),
        )

    def _score(self, request: Request, processor: HimmelProcessor, sample: PreparedSample) -> tuple[ChoiceScore, ...]:
        asked = processor.encode_choices([sample], [[(request.question, request.choices)]], motion=request.motion)
        return share_out(request.choices, self.model.score_choices(asked)[0][0])

    def _continue(self, request: Request, processor: HimmelProcessor, prompt: ModelInputs) -> str:
        ids = self.model.generate(prompt, max_new_tokens=request.max_new_tokens, do_sample=False)
        return processor.decode(ids[0, prompt.input_ids.shape[1] :])


@dataclass(frozen=True)
class FileState:
    """A file as it was found: another size, time of change or place on the disk is another file."""

    path: str
    size: int
    modified: int
    device: int
    inode: int

    @classmethod
    def of(cls, path: VideoSource) -> Self | None:
        """The state of a file now; None if it is not a file on a disk."""
        if not isinstance(path, str | os.PathLike):
            return None
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(os.fspath(path), found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)

    def is_unchanged(self) -> bool:
        """Whether the file is still as it was found."""
        return FileState.of(self.path) == self


@dataclass(frozen=True)
class _Read:
    """A decomposition and the hash of the file that it is of."""

    decomposition: Decomposition
    sha256: str


@dataclass(frozen=True)
class _Prepared:
    """The model's inputs from a video, and the record of what was read."""

    sample: PreparedSample
    video: VideoRead
    notes: tuple[str, ...]


def _count_bytes(decomposition: Decomposition) -> int:
    """Memory of all arrays."""
    total = sum(anchor.image.nbytes for anchor in decomposition.anchors)
    for interval in decomposition.intervals:
        arrays = [interval.frames, interval.times, *(vars(interval.maps)[item.name] for item in fields(interval.maps))]
        total += sum(array.nbytes for array in arrays)
        total += 0 if interval.rgb_difference is None else interval.rgb_difference.nbytes
    return total


def _find_device(name: str | None) -> torch.device:
    place = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=place).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"There is no device {name!r}; name one that `himmel doctor` lists, such as 'cpu'.") from error


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the block's wall time to a stage's."""
    begin = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - begin
