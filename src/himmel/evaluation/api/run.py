"""A benchmark asked of a model behind an API: a run as `himmel eval` writes it, with the cost of every answer."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

from PIL.Image import Image

from himmel._checks import check_whole
from himmel._lock import alone_in
from himmel._memory import peak_memory
from himmel._progress import track
from himmel._versions import versions
from himmel.errors import HimmelError
from himmel.evaluation.api.client import Api, ApiAnswer
from himmel.evaluation.api.many import MOST_AT_ONCE, Asked, Job, ask_many
from himmel.evaluation.api.money import Prices, Spending
from himmel.evaluation.api.settings import ApiSettings, Key
from himmel.evaluation.api.showing import ApiShown, check_askable, show_by
from himmel.evaluation.items import Benchmark, Item
from himmel.evaluation.runs.folder import answer_file, begin, check_known
from himmel.evaluation.runs.media import open_media
from himmel.evaluation.runs.posing import Posing
from himmel.evaluation.runs.record import ANSWERS, Header, Row, questions_sha256, read_rows
from himmel.evaluation.runs.summary import RunSummary, summarise_run
from himmel.methods.answer import Answer
from himmel.methods.cache import BoundedCache
from himmel.methods.choice import option_values
from himmel.methods.conditions.show import LONGEST_SIDE
from himmel.methods.parts import Part
from himmel.methods.protocol import Method
from himmel.methods.question import Question
from himmel.video import Video

_CACHE_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class ApiAsker:
    """Which API is asked, and by which method.

    Attributes:
        settings, key: see `Api`.
        method: how a video becomes a prompt, one of `ASKABLE`.
        prices: what tokens cost; None counts tokens alone.
        limit: the most to spend in all; None for no limit.
        longest_side: most pixels along the longer side of each picture.
        at_once: how many questions are under way at the same time.
        subtitles: see `Posing`.
        threads: of reading one video.

    Raises:
        UsageError: the method cannot be asked of an API, or a number is out of range.
    """

    settings: ApiSettings
    key: Key
    method: Method
    prices: Prices | None = None
    limit: float | None = None
    longest_side: int = LONGEST_SIDE
    at_once: int = 4
    subtitles: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        check_askable(self.method)
        check_whole("longest_side", self.longest_side, 28, 8192)
        check_whole("at_once", self.at_once, 1, MOST_AT_ONCE)

    @property
    def posing(self) -> Posing:
        """How items are asked: an API tells no likelihoods, so that every answer is written."""
        return Posing(
            generate=True,
            subtitles=self.subtitles,
            max_new_tokens=self.settings.max_new_tokens,
            seed=self.settings.seed,
        )


@dataclass(frozen=True)
class ApiRun:
    """How a run stands.

    Attributes:
        rows: all answers that are there, earlier ones included.
        asked: how the asking went.
        summary: of all answers; None while some are missing.
    """

    rows: tuple[Row, ...]
    asked: Asked
    summary: RunSummary | None


def run_by_api(
    benchmark: Benchmark,
    items: Sequence[Item],
    *,
    name: str,
    data: Path,
    folder: Path,
    asker: ApiAsker,
    spent: float = 0.0,
) -> ApiRun:
    """Ask the questions that have no answer yet, and summarise all once they are there.

    Each answer is in the folder's file as soon as it is there; a run that was interrupted, even by `kill -9`, goes on
    where it stopped. What was under way then is asked, and paid for, again.

    Args:
        benchmark, items, name, data, folder: see `run_benchmark`.
        asker: who is asked.
        spent: what counts as spent before, towards `asker.limit`, answers in the folder included.

    Raises:
        UsageError: the folder holds another run, or the benchmark cannot be asked so.
        HimmelError: the folder cannot be used or is damaged, or the API would refuse every question.
    """
    asker.posing.check(benchmark)
    with alone_in(folder, what="run"):
        header = begin(folder, _header(items, name, data, asker))
        rows = read_rows(folder / ANSWERS)
        check_known(rows, items, folder)
        done = {row.id for row in rows}
        missing = [item for item in items if item.id not in done]
        with answer_file(folder / ANSWERS) as file, TemporaryDirectory(prefix="himmel-eval-") as scratch:
            work = _Work(benchmark, asker, Path(scratch), _Writer(file, rows))
            answered = any(row.error is None for row in rows)
            what = f"Asking {asker.settings.model}"
            asked = asyncio.run(work.ask_all(missing, what=what, spent=spent, answered=answered))
        summary = None
        if len(rows) == len(items):
            summary = summarise_run(rows, figures=benchmark.figures)
            if missing or header.summary is None:
                replace(header, summary=summary.to_json()).write(folder)
    return ApiRun(tuple(rows), asked, summary)


@dataclass(frozen=True)
class _Writer:
    """Adds rows to the file, and to those that are known."""

    file: BinaryIO
    rows: list[Row]

    def add(self, row: Row) -> None:
        self.file.write(row.to_line().encode())
        self.file.flush()
        self.rows.append(row)


@dataclass(frozen=True)
class _Ready:
    """An item that is ready to be asked about, and the seconds spent on its video; None if an earlier item had it."""

    question: Question
    shown: ApiShown
    seconds: float | None

    def parts(self) -> list[Part]:
        return self.shown.parts(self.question)


class _Work:
    """Makes jobs of items, and rows of answers."""

    def __init__(self, benchmark: Benchmark, asker: ApiAsker, scratch: Path, writer: _Writer) -> None:
        self._benchmark, self._asker, self._scratch, self._writer = benchmark, asker, scratch, writer
        self._posing = asker.posing
        self._versions = versions("openai")
        self._shown: BoundedCache[ApiShown] = BoundedCache(_CACHE_BYTES)

    async def ask_all(self, items: Sequence[Item], *, what: str, spent: float, answered: bool) -> Asked:
        asker = self._asker
        spending = Spending(limit=asker.limit, spent=spent)
        jobs = track([self._job(item) for item in items], what=what, total=len(items))
        async with Api(asker.settings, asker.key, prices=asker.prices) as api:
            return await ask_many(jobs, api, spending=spending, at_once=asker.at_once, answered=answered)

    def _job(self, item: Item) -> Job[_Ready]:
        return Job(
            id=item.id,
            prepare=lambda: self._prepare(item),
            parts=_Ready.parts,
            done=lambda ready, answer: self._writer.add(self._row(item, ready, answer)),
            failed=self._fail(item),
        )

    def _fail(self, item: Item) -> Callable[[HimmelError], None]:
        return lambda error: self._writer.add(self._posing.fail(item, str(error)))

    def _prepare(self, item: Item) -> _Ready:
        begun = time.perf_counter()
        question = self._posing.pose(self._benchmark, item)
        media = open_media(item, self._scratch)
        if isinstance(media, Image):
            return _Ready(question, self._show(media), time.perf_counter() - begun)
        # Benchmarks ask several questions about a video, one after the other.
        key = item.path, item.start, item.end
        with self._shown.alone(key):
            found = self._shown.get(key)
            if found is not None:
                return _Ready(question, found, None)
            shown = self._show(media if isinstance(media, Video) else Video(media))
            self._shown.put(key, shown, shown.nbytes)
        return _Ready(question, shown, time.perf_counter() - begun)

    def _show(self, source: Video | Image) -> ApiShown:
        asker = self._asker
        return show_by(asker.method, source, longest=asker.longest_side, threads=asker.threads)

    def _row(self, item: Item, ready: _Ready, answer: ApiAnswer) -> Row:
        counts = {"prompt": answer.prompt_tokens, "answer": answer.answer_tokens}
        method, shown = self._asker.method, ready.shown
        text = answer.text or ""
        told = Answer(
            text=text,
            question=ready.question.text,
            choices=(),
            method=method.name,
            options=option_values(method),
            video=shown.record,
            host=self._asker.settings.model,
            adapter=None,
            tokens={kind: count for kind, count in counts.items() if count is not None},
            removed=None,
            prompt_sha256=hash_parts(ready.parts()),
            scoring=ready.question.scoring,
            listing=ready.question.listing,
            answer_form=ready.question.answer_form,
            max_new_tokens=self._asker.settings.max_new_tokens,
            seed=self._asker.settings.seed,
            seconds={**({} if ready.seconds is None else {"prepare": ready.seconds}), "answer": answer.seconds},
            # An API sends an answer as a whole.
            first_token=(ready.seconds or 0.0) + answer.seconds,
            peak_memory=peak_memory(),
            notes=shown.notes,
            versions=self._versions,
        )
        row = self._posing.judge(self._benchmark, item, told, ahead=None)
        assert row.record is not None
        return replace(row, record=replace(row.record, cost=answer.cost, finish=answer.finish))


def hash_parts(parts: Sequence[Part]) -> str:
    """Hash of a prompt's texts and pictures, pixel by pixel, in their order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(b"text\0" + part.encode() + b"\0")
        else:
            digest.update(f"picture {part.shape}\0".encode() + part.tobytes())
    return digest.hexdigest()


def _header(items: Sequence[Item], name: str, data: Path, asker: ApiAsker) -> Header:
    settings = asker.settings
    return Header(
        benchmark=name,
        data=str(data),
        questions=len(items),
        questions_sha256=questions_sha256(items),
        method={"name": asker.method.name, **option_values(asker.method)},
        host=settings.model,
        adapter=None,
        adapter_sha256=None,
        settings={
            **asdict(asker.posing),
            "api": settings.url,
            "temperature": settings.temperature,
            "longest_side": asker.longest_side,
        },
        versions=versions("openai"),
        machine={"api": settings.url, "prices": None if asker.prices is None else asdict(asker.prices)},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
