"""Questions about videos, answered from one loaded model: from a file and a question to an answer and its record."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from PIL.Image import Image

from himmel._checks import check_options, check_picture, check_whole
from himmel.choices import AnswerForm, DeviceMap, Listing, MethodName, Quantization, Scoring
from himmel.hosts import Host
from himmel.methods.answer import Answer
from himmel.methods.cache import BoundedCache
from himmel.methods.decoding import Decoding
from himmel.methods.gathering import Gathering, record
from himmel.methods.memory import VideoMemory
from himmel.methods.models import Models
from himmel.methods.prepared import Prepared, count_bytes, streams_of, timed
from himmel.methods.protocol import Method, Read, Reading
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING, Question
from himmel.methods.request import Request, choose_method
from himmel.methods.source import FileState, MediaSource, Readable
from himmel.methods.still import read_picture
from himmel.model.host_model import HostModel
from himmel.model.modeling import HimmelForConditionalGeneration
from himmel.model.threads import torch_threads
from himmel.video import Video, draw_streams

CACHE_BYTES = 512 * 2**20
MOST_CACHE_BYTES = 2**50


class Session:
    """A model that is loaded once and answers any number of questions, from several threads at once if need be.

    Each question brings its own settings; none of them shows in another's answer, and nothing outside of the session
    changes: neither the model, nor torch's random numbers, nor its number of threads elsewhere. What was read of a
    video is kept, so that a second question about it reads nothing again. A file that has changed since is read again.

    Args:
        model: the model to ask; None loads one at the first question (or the first use of `model`). Excludes what says
            how to load one. If its adapter is exchanged, make a new session.
        adapter: checkpoint folder or repository name; None takes the checkpoint in the package.
        host: name or folder of a host in place of the checkpoint's own. Without an adapter of its own it can be asked
            by every method that needs none.
        device: torch's name of one, such as "cuda"; None takes the first GPU if there is one, else the CPU.
        device_map, quantization: see `Loading`.
        max_anchor_tokens: most image tokens of one picture, on hosts that read pictures at their own size and are asked
            without an adapter; None for 256. An adapter brings its own number.
        cache_bytes: most memory for what was read of videos. A video in 1080p takes about 100 MB while its pictures and
            maps are kept, and a few MB once others have taken their place and only the model's inputs are left.
        prompt_cache_bytes: most memory for what the language model made of videos (keys and values of their tokens), so
            that a second question by the same method does not read them again. On nano a token takes 46 kB and a
            video by the method `himmel` 11 MB; on Qwen2.5-VL-7B a token takes 57 kB. 0 keeps none: then
            nothing that was asked before shows in the last digits of a likelihood.

    Raises:
        UsageError: a model came together with how to load one, two options exclude each other, or there is no such
            device.
        HostError: there is no checkpoint at `adapter`.

    Examples:
        >>> import himmel
        >>> session = himmel.Session()  # doctest: +SKIP
        >>> session.ask("bunny.mp4", "Which way does the rabbit move?", choices=["left", "right"])  # doctest: +SKIP
        >>> session.ask("bunny.mp4", "What is in the video?", method="dense")  # doctest: +SKIP
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
        max_anchor_tokens: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        prompt_cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._models = Models(
            model,
            adapter=adapter,
            host=host,
            device=device,
            device_map=device_map,
            quantization=quantization,
            max_anchor_tokens=max_anchor_tokens,
        )
        # Shares of their own: pictures and maps, which are large, must not drive out what is kept of many more videos.
        check_whole("cache_bytes", cache_bytes, 0, MOST_CACHE_BYTES)
        self._reads: BoundedCache[Read] = BoundedCache(cache_bytes // 2)
        self._inputs: BoundedCache[Prepared] = BoundedCache(cache_bytes // 4)
        check_whole("prompt_cache_bytes", prompt_cache_bytes, 0, MOST_CACHE_BYTES)
        self._memory = VideoMemory(cache_bytes // 4, prompt_cache_bytes)

    @property
    def model(self) -> HimmelForConditionalGeneration:
        """The model with its adapter; loaded at the first use.

        Raises:
            HostError: the host or the checkpoint is missing or damaged, or they don't fit.
        """
        return self._models.adapted

    @property
    def plain(self) -> HostModel:
        """The host alone, for methods that need no adapter; loaded at the first use, weights shared with `model`.

        Raises:
            HostError: as `model`.
        """
        return self._models.plain

    def ask(
        self,
        video: MediaSource,
        question: str,
        *,
        method: MethodName | Method = "himmel",
        choices: Sequence[str] = (),
        scoring: Scoring | None = None,
        listing: Listing = DEFAULT_LISTING,
        answer_form: AnswerForm = DEFAULT_ANSWER_FORM,
        max_new_tokens: int = 64,
        seed: int = 0,
        threads: int | None = None,
        picture: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Answer:
        """Answer a question about a video.

        Args:
            video: a file, its bytes, or a video that is open already; a single picture as `PIL.Image.Image`, which is
                shown as it is; or a `Readable`.
            question: not empty.
            method: how the video becomes a prompt, by name or as one of the classes in `himmel.methods`.
            choices: options to score by their likelihood, at least two; without any, the model answers in its own
                words.
            scoring, listing, answer_form: how options are asked and compared, see `Question`.
            max_new_tokens: where an answer is cut.
            seed: 0 to 2**63 - 1. Answers are greedy and draw nothing at random, so that it changes nothing; it is in
                the record.
            threads: 1 to 256 threads for this question, of reading and of torch; None leaves torch's number as it is.
                Only nano computes with one then, unless OMP_WAIT_POLICY=PASSIVE keeps waiting threads from spinning.
            picture: draw the streams into this file, see `draw_streams`; for methods that read them.
            options: of the method, see its class: `num_anchors` or `placement` of `himmel`, `num_frames` of `dense`.

        Raises:
            UsageError: the question is empty, an argument is of a wrong type or out of range, the prompt is longer
                than the host was made for, or the method removed nothing.
            VideoError: the file can't be read.
            HostError: the host or the checkpoint is missing or damaged, or they don't fit.
        """
        asked = Question(question, tuple(check_options(choices)), scoring, listing, answer_form)
        return self.ask_all(
            [(video, asked)],
            method=method,
            max_new_tokens=max_new_tokens,
            seed=seed,
            threads=threads,
            pictures=(picture,),
            **options,
        )[0]

    def ask_all(
        self,
        asked: Sequence[tuple[MediaSource, Question]],
        *,
        method: MethodName | Method = "himmel",
        max_new_tokens: int = 64,
        seed: int = 0,
        threads: int | None = None,
        pictures: Sequence[str | os.PathLike[str] | None] = (),
        **options: Any,
    ) -> list[Answer]:
        """Answer several questions at once, in one batch where the method can.

        Args:
            asked: videos, each with a question; a video may come more than once.
            method, max_new_tokens, seed, threads, options: see `ask`.
            pictures: for each video a file to draw its streams into, or None; empty for none.

        Raises:
            UsageError, VideoError, HostError: as `ask`, about the first of the videos that is at fault.
        """
        begin = time.perf_counter()
        request = Request(method=choose_method(method, options), threads=threads)
        decodings = [Decoding(max_new_tokens=max_new_tokens, seed=seed)] * len(asked)
        for picture in pictures:
            if picture is not None:
                check_picture(picture)
        reading = self.reading(request.method)
        with torch_threads(threads):
            prepared = [
                self._prepare(video, request, reading, picture)
                for (video, _), picture in zip(asked, pictures or (None,) * len(asked), strict=True)
            ]
        return self._answer(request, [question for _, question in asked], prepared, decodings, begin)

    def prepare(
        self, video: MediaSource, *, method: MethodName | Method = "himmel", threads: int | None = None, **options: Any
    ) -> Prepared:
        """Read a video and make what a method's model needs of it, for `answer`; from the caches where it is there.

        Args:
            video, method, threads, options: see `ask`.

        Raises:
            UsageError, VideoError, HostError: as `ask`.
        """
        request = Request(method=choose_method(method, options), threads=threads)
        reading = self.reading(request.method)
        with torch_threads(threads):
            return self._prepare(video, request, reading, None)

    def answer(
        self,
        prepared: Sequence[Prepared],
        questions: Sequence[Question],
        decodings: Sequence[Decoding],
        *,
        method: MethodName | Method = "himmel",
        threads: int | None = None,
        **options: Any,
    ) -> list[Answer]:
        """Answer a question about each of B videos that were prepared for the same method, in one batch where it can.

        Args:
            prepared, questions: B of each.
            decodings: how each answer in the model's own words is made; each may be followed token by token.
            method, threads, options: see `ask`.

        Raises:
            UsageError, HostError: as `ask`.
        """
        begin = time.perf_counter()
        request = Request(method=choose_method(method, options), threads=threads)
        return self._answer(request, questions, prepared, decodings, begin)

    def gather(
        self, *, method: MethodName | Method = "himmel", threads: int | None = None, **options: Any
    ) -> Gathering | None:
        """Begin to answer questions of which more may come while others are being answered.

        Args:
            method, threads, options: see `ask`.

        Returns:
            What takes them; None where the method answers batches as a whole alone (`answer`).

        Raises:
            UsageError, HostError: as `ask`.
        """
        request = Request(method=choose_method(method, options), threads=threads)
        return Gathering.begin(self._models, self._memory, request)

    def read_ahead(
        self, video: MediaSource, *, method: MethodName | Method = "himmel", threads: int | None = None, **options: Any
    ) -> bool:
        """Read and prepare a video, so that a question about it finds that done; as far as the cache has room.

        Args:
            video, method, threads, options: see `ask`.

        Returns:
            Whether there was anything to do; not where all of it had been done for an earlier question.

        Raises:
            UsageError, VideoError, HostError: as `ask`.
        """
        return bool(self.prepare(video, method=method, threads=threads, **options).seconds)

    def host_of(self, method: Method) -> Host:
        """The host that a method asks; its model is loaded at the first use.

        Raises:
            HostError: as `model`.
        """
        return self._models.get(method).host

    def reading(self, method: Method) -> Reading:
        """What a method reads of a video.

        Raises:
            UsageError: an option does not fit the adapter.
            HostError: the method needs an adapter, and there is none for the host.
        """
        if method.needs_adapter:
            self._models.check(method)
        return method.reading(self._models.config if method.needs_adapter else None)

    def _prepare(
        self,
        video: MediaSource,
        request: Request,
        reading: Reading,
        picture: str | os.PathLike[str] | None,
    ) -> Prepared:
        """What the model needs of a video, and the record of it; out of the caches where it is there."""
        seconds: dict[str, float] = {}
        source = video if isinstance(video, Video | Image | Readable) else FileState.of(video) or Video(video)
        key = (id(source) if isinstance(source, Image) else source), reading
        with self._inputs.alone(key):
            prepared = self._inputs.get(key)
            read = None
            if prepared is None or picture is not None:
                read = self._reads.get(key) or self._read(video, source, reading, request.threads, seconds)
            if read is not None and picture is not None:
                with timed(seconds, "draw"):
                    draw_streams(streams_of(read, request.method), picture)
            if prepared is None and read is not None:
                with timed(seconds, "load"):
                    model = self._models.get(request.method)
                with timed(seconds, "prepare"):
                    shown = request.method.prepare(read, request.method.processor(model))
                prepared = Prepared(shown, read.record, read.notes + shown.notes)
                # The copy of bytes or of a file object is nobody's key again; kept, it would stay on the disk.
                kept = source is video if isinstance(source, Video) else isinstance(source, FileState | Readable)
                if isinstance(source, Readable):
                    kept = source.lasts
                if kept and (not isinstance(source, FileState) or source.is_unchanged()):
                    self._reads.put(key, read, count_bytes(read))
                    prepared = replace(prepared, key=key)
                    self._inputs.put(key, prepared, prepared.num_bytes)
        assert prepared is not None
        return replace(prepared, seconds=seconds)

    def _read(
        self,
        video: MediaSource,
        source: FileState | Video | Image | Readable,
        reading: Reading,
        threads: int | None,
        seconds: dict[str, float],
    ) -> Read:
        if isinstance(source, Image):
            return read_picture(source)
        if isinstance(source, Readable):
            read = source.read(reading, threads=threads)
            seconds |= read.seconds or {}
            return read
        # Before the model is loaded: a damaged file is found out at once, and decoding never adds to its memory.
        opened = source if isinstance(source, Video) else video if isinstance(video, Video) else Video(cast(Any, video))
        # For the record, which takes it at the end of reading.
        opened.start_hash()
        read = reading.read(opened, threads=threads)
        seconds |= {"hash": opened.hash_seconds, **(read.seconds or {})}
        return read

    def _answer(
        self,
        request: Request,
        questions: Sequence[Question],
        prepared: Sequence[Prepared],
        decodings: Sequence[Decoding],
        begin: float,
    ) -> list[Answer]:
        method = request.method
        shown, looking = [], []
        with torch_threads(request.threads or self._models.few_threads(method)):
            model = self._models.get(method)
            for one in prepared:
                start = time.perf_counter()
                video, looked = self._memory.see(model, method, one)
                shown.append(video)
                looking.append({"see": time.perf_counter() - start} if looked else {})
            start = time.perf_counter()
            replies = method.answer(model, method.processor(model), shown, questions, decodings=decodings)
        spent = (time.perf_counter() - start) / len(prepared)
        stages = [{**one.seconds, **seeing, "answer": spent} for one, seeing in zip(prepared, looking, strict=True)]
        return [
            record(self._models, method, *one, begin=begin)
            for one in zip(questions, prepared, decodings, replies, stages, strict=True)
        ]
