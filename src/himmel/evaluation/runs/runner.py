"""Asking all questions of a benchmark, so that nothing is lost whatever happens."""

import os
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from PIL.Image import Image

from himmel._lock import alone_in
from himmel._progress import track
from himmel._text import by_number
from himmel._versions import versions
from himmel.errors import HimmelError, PromptTooLongError, UsageError, VideoError
from himmel.evaluation.items import Benchmark, Item
from himmel.evaluation.runs.folder import answer_file, begin, check_known
from himmel.evaluation.runs.media import open_media
from himmel.evaluation.runs.posing import Posing
from himmel.evaluation.runs.record import (
    ANSWERS,
    Header,
    Row,
    questions_sha256,
    read_rows,
    weights_sha256,
)
from himmel.evaluation.runs.summary import RunSummary, summarise_run
from himmel.methods.answer import Answer
from himmel.methods.choice import option_values
from himmel.methods.frames import Dense, FramesMethod
from himmel.methods.models import checkpoint_name, default_checkpoint
from himmel.methods.protocol import Method
from himmel.methods.question import Question
from himmel.methods.removed import PATIENCE, NothingRemovedError, Removed
from himmel.methods.session import Session
from himmel.methods.source import MediaSource
from himmel.model.config import HimmelConfig
from himmel.model.repository import local_folder
from himmel.settings import own_settings

MOST_BATCH: Final = 1024
_AHEAD: Final = 2
"""So many batches are read before the model asks for them."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who is asked, and by which method.

    Attributes:
        session: with the model.
        method: how a video becomes a prompt.
        host: as it was named; None for the adapter's own.
        adapter: as it was named; None for the checkpoint in the package.
        batch: how many questions go to the model at once. With more than one, videos are read in another thread
            while the model works.
        threads: see `Session.ask`.
    """

    session: Session
    method: Method
    host: str | None = None
    adapter: str | None = None
    batch: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MOST_BATCH:
            raise UsageError(f"batch={self.batch} is out of range; give a whole number from 1 to {MOST_BATCH}.")


def run_benchmark(
    benchmark: Benchmark, items: Sequence[Item], *, name: str, data: Path, folder: Path, asker: Asker, posing: Posing
) -> RunSummary:
    """Ask the questions that have no answer yet, and summarise all.

    Each answer is in the folder's file as soon as it is there. A run that was interrupted, even by `kill -9`, goes on
    where it stopped. A question that cannot be asked, for example since its video is broken, is answered wrongly, with
    the reason in its row. Where a method would remove nothing of a prompt, such as of a video of one picture, the host
    is asked with all of it; a method that removes nothing of the first five prompts, or of all, ends the run.

    Args:
        benchmark: words, reads and scores.
        items: what is asked, in this order.
        name: of the benchmark, or of its file.
        data: folder of the media.
        folder: of the run; made if it is not there.
        asker: who is asked.
        posing: how.

    Raises:
        UsageError: the folder holds another run, the method cannot be used so, or it removed nothing.
        HimmelError: the folder cannot be used, answers in it are damaged, or another process writes to it; a model is
            missing or damaged.
    """
    posing.check(benchmark)
    with alone_in(folder, what="run"):
        # Before the first question, so that its time to the first token is like that of the others.
        model = asker.session.model if asker.method.needs_adapter else asker.session.plain
        posing = replace(posing, scoring=posing.scoring or model.host.scoring)
        header = _header(benchmark, items, name, data, asker, posing, host=asker.host or model.host.name)
        header = begin(folder, header)
        rows = read_rows(folder / ANSWERS)
        check_known(rows, items, folder)
        _check_removed(rows, len(items))
        done = {row.id for row in rows}
        with answer_file(folder / ANSWERS) as file, TemporaryDirectory(prefix="himmel-eval-") as scratch:
            work = _Work(benchmark, asker, posing, Path(scratch), first=items[0].id)
            missing = [item for item in items if item.id not in done]
            for answered in work.answer_all(missing):
                file.write("".join(row.to_line() for row in answered).encode())
                file.flush()
                os.fsync(file.fileno())
                rows += answered
                _check_removed(rows, len(items))
        summary = summarise_run(rows, figures=benchmark.figures)
        if missing or header.summary is None:
            replace(header, summary=summary.to_json()).write(folder)
    return summary


def _check_removed(rows: Sequence[Row], asked: int) -> None:
    """See that a method that should remove something does.

    Raises:
        UsageError: it removed nothing for any of the first five answers, or of all that are asked for.
    """
    removed = [row.record.removed for row in rows if row.record is not None and row.record.removed is not None]
    enough = len(removed) >= PATIENCE or len(rows) == asked
    if removed and enough and all(one.before == one.after for one in removed):
        raise UsageError(
            f"The method removed nothing of {by_number(len(removed), 'the only prompt', 'any of the {} prompts')} so "
            "far; let it keep less, show more frames, or ask by the method 'dense'."
        )


@dataclass(frozen=True)
class _Task:
    """An item that is ready to be asked about; `ahead` are the seconds in which its video was read for it."""

    item: Item
    question: Question
    media: MediaSource
    ahead: float | None


class _Work:
    """Asks items in batches."""

    def __init__(self, benchmark: Benchmark, asker: Asker, posing: Posing, scratch: Path, *, first: str) -> None:
        self._benchmark = benchmark
        self._first = first
        self._asker = asker
        self._posing = posing
        self._scratch = scratch
        self._max_new_tokens = posing.max_new_tokens or benchmark.max_new_tokens

    def answer_all(self, items: Sequence[Item]) -> Iterator[list[Row]]:
        """Rows of some items, a batch at a time, in their order."""
        size = self._asker.batch
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        prepared = self._one_by_one(batches) if size == 1 else self._ahead(batches)
        what = "Asking" if size == 1 else f"Asking, {size} at a time"
        for ready in track(prepared, what=what, total=len(batches)):
            yield self._answer(ready)

    def _one_by_one(self, batches: Sequence[Sequence[Item]]) -> Iterator[list[_Task | Row]]:
        for batch in batches:
            yield [self._prepare(item, ahead=False) for item in batch]

    def _ahead(self, batches: Sequence[Sequence[Item]]) -> Iterator[list[_Task | Row]]:
        """The same, but videos are read in another thread."""
        pool = ThreadPoolExecutor(1, "himmel-read")
        waiting: list[list[Future[_Task | Row]]] = []
        try:
            for batch in batches:
                waiting.append([pool.submit(self._prepare, item, ahead=True) for item in batch])
                if len(waiting) > _AHEAD:
                    yield [one.result() for one in waiting.pop(0)]
            for futures in waiting:
                yield [one.result() for one in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, item: Item, *, ahead: bool) -> _Task | Row:
        begin = time.perf_counter()
        try:
            question = self._posing.pose(self._benchmark, item)
            media = open_media(item, self._scratch)
        except HimmelError as error:
            # Also a UsageError: here it is about this item's own words.
            return self._posing.fail(item, str(error))
        read = ahead
        try:
            if ahead and not isinstance(media, Image):
                read = self._asker.session.read_ahead(media, method=self._asker.method, threads=self._asker.threads)
        except VideoError as error:
            return self._posing.fail(item, str(error))
        return _Task(item, question, media, time.perf_counter() - begin if read else None)

    def _answer(self, ready: Sequence[_Task | Row]) -> list[Row]:
        tasks = [one for one in ready if isinstance(one, _Task)]
        answered = {row.id: row for row in self._ask(tasks)}
        return [answered[one.item.id] if isinstance(one, _Task) else one for one in ready]

    def _ask(self, tasks: Sequence[_Task]) -> list[Row]:
        """Ask all at once; if a video among them is broken, a prompt too long or not to be reduced, each by itself.

        A prompt that is too long is a wrong answer like a broken video, but not the first of a run: then most are, and
        another setting is needed.
        """
        if not tasks:
            return []
        try:
            answers = self._ask_by(self._asker.method, tasks)
        except (VideoError, PromptTooLongError, NothingRemovedError) as error:
            if len(tasks) > 1:
                return [row for task in tasks for row in self._ask([task])]
            if isinstance(error, NothingRemovedError):
                return [self._ask_whole(tasks[0], error.removed)]
            if isinstance(error, PromptTooLongError) and tasks[0].item.id == self._first:
                raise
            return [self._posing.fail(tasks[0].item, str(error))]
        return [
            self._posing.judge(self._benchmark, task.item, answer, ahead=task.ahead)
            for task, answer in zip(tasks, answers, strict=True)
        ]

    def _ask_whole(self, task: _Task, removed: Removed) -> Row:
        """Ask with all of a prompt of which the method would remove nothing."""
        assert isinstance(self._asker.method, FramesMethod)
        (answer,) = self._ask_by(Dense.beneath(self._asker.method), [task])
        return self._posing.judge(self._benchmark, task.item, replace(answer, removed=removed), ahead=task.ahead)

    def _ask_by(self, method: Method, tasks: Sequence[_Task]) -> list[Answer]:
        return self._asker.session.ask_all(
            [(task.media, task.question) for task in tasks],
            method=method,
            max_new_tokens=self._max_new_tokens,
            seed=self._posing.seed,
            threads=self._asker.threads,
        )


def _header(
    benchmark: Benchmark, items: Sequence[Item], name: str, data: Path, asker: Asker, posing: Posing, *, host: str
) -> Header:
    folder = None
    if asker.method.needs_adapter:
        folder = asker.adapter or str(default_checkpoint())
    return Header(
        benchmark=name,
        data=str(data),
        questions=len(items),
        questions_sha256=questions_sha256(items),
        method={"name": asker.method.name, **option_values(asker.method)},
        host=host,
        adapter=None if folder is None else checkpoint_name(folder),
        adapter_sha256=None if folder is None else weights_sha256(local_folder(folder)),
        settings={**asdict(posing), "max_new_tokens": posing.max_new_tokens or benchmark.max_new_tokens},
        versions=versions(),
        machine=_machine(asker),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        trained=None if folder is None else _trained(asker.session.model.config),
    )


def _trained(config: HimmelConfig) -> dict[str, Any]:
    """The settings of model and adapter by one name each."""
    model = own_settings(config)
    adapter = model.pop("adapter_config")
    kept = adapter["tokens_per_interval"] if model["tokens_per_interval"] is None else model["tokens_per_interval"]
    return {**adapter, **model, "tokens_per_interval": kept}


def _machine(asker: Asker) -> dict[str, Any]:
    model = asker.session.model if asker.method.needs_adapter else asker.session.plain
    on_gpu = model.device.type == "cuda"
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(model.device) if on_gpu else str(model.device),
        "threads": asker.threads or torch.get_num_threads(),
        "batch": asker.batch,
    }
