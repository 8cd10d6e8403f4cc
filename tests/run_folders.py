"""Runs of `himmel eval` on the disk, written through the records that it writes itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from himmel.evaluation.runs.record import ANSWERS, Evidence, Header, Row
from himmel.methods.choice import build, option_values
from himmel.methods.removed import Removed

QWEN = "Qwen/Qwen2.5-VL-7B-Instruct"


def write_run(
    folder: Path,
    right: Sequence[bool],
    *,
    method: str = "dense",
    options: Mapping[str, Any] | None = None,
    benchmark: str = "video_mme",
    host: str = QWEN,
    adapter: str | None = None,
    data: str = "data",
    settings: Mapping[str, Any] | None = None,
    tokens: Mapping[str, int] | None = None,
    removed: Removed | None = None,
    questions: int | None = None,
    errors: Mapping[int, str] | None = None,
    groups: bool = True,
    trained: Mapping[str, Any] | None = None,
) -> Path:
    """A folder with a run in which question i was answered rightly where `right[i]` is true.

    Args:
        groups: give each question one of three durations, two categories and two tasks.
        questions: how many the run asks; more than there are answers make it a run that is not whole.
        errors: reasons by the place of questions that could not be asked.
    """
    asked = len(right) if questions is None else questions
    built = option_values(build(method, **dict(options or {})))
    folder.mkdir(parents=True)
    Header(
        benchmark=benchmark,
        data=data,
        questions=asked,
        questions_sha256=f"{asked:06x}",
        method={"name": method, **built},
        host=host,
        adapter=adapter,
        adapter_sha256=adapter,
        settings=settings or {"scoring": "token", "seed": 0},
        versions={"himmel": "0"},
        trained=trained,
    ).write(folder)
    rows = [
        _row(
            place, answer, tokens or {"text": 20, "image": 100, "motion": 0}, removed, (errors or {}).get(place), groups
        )
        for place, answer in enumerate(right)
    ]
    (folder / ANSWERS).write_text("".join(row.to_line() for row in rows), encoding="utf-8")
    return folder


def _row(
    place: int, right: bool, tokens: Mapping[str, int], removed: Removed | None, error: str | None, groups: bool
) -> Row:
    record = Evidence(
        video_sha256="0" * 64,
        frames=(0, 8),
        times=(0.0, 0.5),
        backend=None,
        pixels=(64, 48),
        prompt_sha256="1" * 64,
        tokens=tokens,
        removed=removed,
        seed=0,
        seconds={"prepare": 0.25, "first_token": 0.5},
        peak_memory=10**9,
    )
    return Row(
        id=f"{place:04}",
        media=f"{place}.mp4",
        media_kind="video",
        cluster=str(place),
        category=("moving", "still")[place % 2] if groups else None,
        task=("count", "order")[place // 2 % 2] if groups else None,
        duration_group=("short", "medium", "long")[place % 3] if groups else None,
        question="Which?",
        choices=("one", "two"),
        answer=("A",),
        given=None if error else "one",
        parsed=None if error else "A",
        right=right and error is None,
        points=float(right and error is None),
        error=error,
        record=None if error else record,
    )
