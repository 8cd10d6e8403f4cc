"""The free answers of a run judged by a model behind an API, beside the benchmark's own score."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, BinaryIO, Final

from himmel._lock import alone_in
from himmel._progress import track
from himmel.errors import HimmelError, UsageError
from himmel.evaluation.api.client import Api, ApiAnswer
from himmel.evaluation.api.many import Asked, Job, ask_many
from himmel.evaluation.api.money import Prices, Spending
from himmel.evaluation.api.settings import ApiSettings, Key
from himmel.evaluation.judge import SYSTEM, judge_prompt, no_verdict, read_verdict
from himmel.evaluation.runs.folder import answer_file
from himmel.evaluation.runs.record import Row, load_run
from himmel.evaluation.statistics import Accuracy, accuracy

JUDGED: Final = "judged.jsonl"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One answer that was judged: a line of `judged.jsonl`.

    Attributes:
        id: of the question.
        judge: name of the model that judged.
        right: whether it says that the answer is right; an answer that could not be judged is not.
        score: how well the answer matches, 0 to 5.
        tokens: of the judging, by kind, as far as the API counts them.
        cost: of the judging, by the stated prices; None if it is not known.
        error: why it could not be judged.
    """

    id: str
    judge: str
    right: bool
    score: int
    tokens: Mapping[str, int]
    cost: float | None
    error: str | None = None


@dataclass(frozen=True)
class Judgement:
    """What a judge says of a run.

    Attributes:
        judge: name of the model.
        judged: the answers that were judged.
        exact: share of them that the benchmark's own rule finds right.
        right: share that the judge finds right.
        score: mean of how well they match, 0 to 5.
        cost: of all judging; None if it is not known.
        asked: how the asking went.
    """

    judge: str
    judged: tuple[Judged, ...]
    exact: Accuracy
    right: Accuracy
    score: float
    cost: float | None
    asked: Asked

    def to_json(self) -> dict[str, Any]:
        """The figures as plain dictionaries, and the answers that could not be judged."""
        failed = {one.id: one.error for one in self.judged if one.error is not None}
        shares = {
            name: {**asdict(share), "share": share.share}
            for name, share in (("exact", self.exact), ("right", self.right))
        }
        return {"judge": self.judge, **shares, "score": self.score, "cost": self.cost, "failed": failed}


def judge_run(
    folder: Path,
    settings: ApiSettings,
    key: Key,
    *,
    prices: Prices | None = None,
    limit: float | None = None,
    at_once: int = 4,
) -> Judgement:
    """Have the free answers of a whole run judged, as far as they are not judged yet.

    Each verdict is in the run's `judged.jsonl` as soon as it is there. Once all are, they are in the summary of its
    `run.json` under "judge". What was not answered is wrong without being judged.

    Args:
        folder: of the run.
        settings, key, prices: see `Api`.
        limit: the most to spend, earlier judging of this run included.
        at_once: see `ask_many`.

    Raises:
        UsageError: the run has no free answers, or another model judged it.
        HimmelError: the run is not whole or is damaged, no answer could be judged, or the API would refuse every one.
    """
    run = load_run(folder)
    free = [row for row in run.rows if not row.choices]
    if not free:
        raise UsageError(f"The run {str(folder)!r} has no free answers; what is chosen among options needs no judge.")
    with alone_in(folder, what="run"):
        done = _read(folder / JUDGED, settings.model)
        left = [row for row in free if row.id not in done]
        with answer_file(folder / JUDGED) as file:
            work = _Work(settings.model, file, done)
            spent = sum(one.cost or 0.0 for one in done.values())
            asked = asyncio.run(
                work.judge_all(
                    left, Api(settings, key, prices=prices), Spending(limit=limit, spent=spent), at_once=at_once
                )
            )
        judgement = _sum_up(settings.model, free, done, asked)
        if len(done) == len(free):
            summary = {**(run.header.summary or {}), "judge": judgement.to_json()}
            replace(run.header, summary=summary).write(folder)
    return judgement


class _Work:
    """Asks the judge, and writes what it says."""

    def __init__(self, model: str, file: BinaryIO, done: dict[str, Judged]) -> None:
        self._model, self._file, self._done = model, file, done

    async def judge_all(self, rows: Sequence[Row], api: Api, spending: Spending, *, at_once: int) -> Asked:
        answered = [row for row in rows if row.given]
        judged = any(one.error is None and one.tokens for one in self._done.values())
        for row in rows:
            if not row.given:
                self._add(Judged(id=row.id, judge=self._model, right=False, score=0, tokens={}, cost=0.0))
        jobs = track([self._job(row) for row in answered], what="Judging", total=len(answered))
        async with api:
            return await ask_many(jobs, api, spending=spending, at_once=at_once, system=SYSTEM, answered=judged)

    def _job(self, row: Row) -> Job[str]:
        prompt = judge_prompt(row.question, " or ".join(row.answer), row.given or "")
        return Job(
            id=row.id,
            prepare=lambda: prompt,
            parts=lambda text: [text],
            done=lambda _, answer: self._add(self._verdict(row, answer)),
            failed=lambda error: self._add(self._failed(row, str(error), {}, None)),
        )

    def _verdict(self, row: Row, answer: ApiAnswer) -> Judged:
        counts = {"prompt": answer.prompt_tokens, "answer": answer.answer_tokens}
        tokens = {kind: count for kind, count in counts.items() if count is not None}
        verdict = read_verdict(answer.text or "")
        if verdict is None:
            return self._failed(row, no_verdict(answer.text or ""), tokens, answer.cost)
        return Judged(
            id=row.id, judge=self._model, right=verdict.right, score=verdict.score, tokens=tokens, cost=answer.cost
        )

    def _failed(self, row: Row, why: str, tokens: Mapping[str, int], cost: float | None) -> Judged:
        return Judged(id=row.id, judge=self._model, right=False, score=0, tokens=tokens, cost=cost, error=why)

    def _add(self, one: Judged) -> None:
        self._file.write((json.dumps(asdict(one), ensure_ascii=False) + "\n").encode())
        self._file.flush()
        self._done[one.id] = one


def _read(path: Path, model: str) -> dict[str, Judged]:
    """Verdicts that are there, but for a last line that was cut off in writing."""
    found: dict[str, Judged] = {}
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            one = Judged(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise HimmelError(
                f"Line {number} of {str(path)!r} is no verdict ({error}); remove that line to have its answer judged "
                "again."
            ) from error
        if one.judge != model:
            raise UsageError(
                f"{str(path)!r} holds verdicts of {one.judge!r}, and {model!r} is to judge; remove the file, or judge "
                "by the same model."
            )
        found[one.id] = one
    return found


def _sum_up(model: str, free: Sequence[Row], done: Mapping[str, Judged], asked: Asked) -> Judgement:
    judged = [(row, done[row.id]) for row in free if row.id in done]
    if not judged:
        raise HimmelError(f"No answer was judged: {asked.stopped or next(iter(asked.unanswered.values()), 'unknown')}")
    costs = [one.cost for _, one in judged if one.cost is not None and one.tokens]
    return Judgement(
        judge=model,
        judged=tuple(one for _, one in judged),
        exact=accuracy([row.right for row, _ in judged]),
        right=accuracy([one.right for _, one in judged]),
        score=fmean(one.score for _, one in judged),
        cost=sum(costs) if costs else None,
        asked=asked,
    )
