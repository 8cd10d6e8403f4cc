"""Every result below some folders: runs of `himmel eval`, the motion benchmark, trainings, rungs and timings."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from himmel.errors import HimmelError, UsageError
from himmel.evaluation.runs.record import HEADER, Run, load_run

# Larger JSON files are no results of ours.
_MOST_BYTES = 2**26
_MOST_FILES = 100_000
# In each checkpoint of a training, by transformers.
_STATE = "trainer_state.json"
# What a result file calls itself, and what it holds.
_BENCHMARKS: Final = {"nano-motion": "motion", "end-to-end": "timings", "nano-tables": "rows", "nano-claims": "claims"}


@dataclass(frozen=True)
class Document:
    """A result file of one JSON object."""

    path: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """What was found.

    Attributes:
        runs: whole runs of `himmel eval`.
        partial: folders of runs of which answers are missing; they are in no table.
        motion: what `himmel nano bench -o FILE` wrote.
        training: what `himmel train` wrote into a checkpoint's `training` folder, one file a stage.
        rungs: what `himmel compress` wrote about each rung.
        timings: what `python -m benchmarks.end_to_end -o FILE` wrote.
        rows: what `python -m benchmarks.tables --json FILE` wrote.
        claims: what `python -m benchmarks.claims --json FILE` wrote.
    """

    runs: tuple[Run, ...]
    partial: tuple[Path, ...]
    motion: tuple[Document, ...]
    training: tuple[Document, ...]
    rungs: tuple[Document, ...]
    timings: tuple[Document, ...]
    rows: tuple[Document, ...]
    claims: tuple[Document, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was found."""
        return not any(getattr(self, field.name) for field in fields(self))


def collect(places: Sequence[Path]) -> Results:
    """Look through files and folders, and all that is in those.

    Raises:
        UsageError: a place is not there, or there is no result in any of them.
        HimmelError: a run is damaged, or has two answers to one question.
    """
    results = _find(places)
    if results.is_empty:
        shown = ", ".join(map(str, places))
        raise UsageError(f"There is no result in {shown}; name folders that `himmel eval -o` wrote.")
    return results


def collect_training(places: Sequence[Path]) -> list[Document]:
    """The logs of trainings alone, also of those that are under way: as far as their newest checkpoint knows.

    Raises:
        UsageError: a place is not there, or no training has written a log in any of them.
        HimmelError: as `collect`.
    """
    found = [*_find(places).training, *_under_way(places)]
    if not found:
        raise UsageError(
            f"There is no log of a training in {', '.join(map(str, places))}; name a folder that `himmel train` wrote."
        )
    return found


def _under_way(places: Sequence[Path]) -> Iterator[Document]:
    states: dict[Path, list[tuple[int, Path]]] = {}
    for path in _files(places):
        step = path.parent.name.rpartition("-")[2]
        if path.name == _STATE and step.isdigit():
            states.setdefault(path.resolve().parents[2], []).append((int(step), path))
    for stage, found in sorted(states.items()):
        record = stage / "training" / f"{stage.name.rpartition('-')[0]}.json"
        if record.is_file():
            continue
        # The newest may be half-written.
        read = (_read(path) for _, path in sorted(found, reverse=True))
        logs = (state.content.get("log_history") for state in read if state is not None)
        log = next((one for one in logs if isinstance(one, list)), None)
        if log is not None:
            yield Document(record, {"log": log})


def _find(places: Sequence[Path]) -> Results:
    missing = [place for place in places if not place.exists()]
    if missing:
        raise UsageError(f"There is no {str(missing[0])!r}; name folders or files that `himmel eval` wrote.")
    runs: list[Run] = []
    partial: list[Path] = []
    documents: dict[str, list[Document]] = {kind: [] for kind in ("training", "rungs", *_BENCHMARKS.values())}
    # A place may be named twice, by different paths.
    for path in sorted({found.resolve(): found for found in _files(places)}.values()):
        if path.name == HEADER:
            run = load_run(path.parent, whole=False)
            if run.is_whole:
                runs.append(run)
            else:
                partial.append(path.parent)
            continue
        found = _read(path)
        kind = None if found is None else _kind(found)
        if kind is not None and found is not None:
            documents[kind].append(found)
    return Results(tuple(runs), tuple(partial), **{kind: tuple(found) for kind, found in documents.items()})


def own_logs(training: Sequence[Document]) -> list[Document]:
    """Logs without the copies of earlier stages' logs that a later stage's checkpoint carries."""
    found: list[Document] = []
    # The checkpoint of a stage's best step, which is inside the stage's folder, has a copy too.
    for document in sorted(training, key=lambda one: len(one.path.parts)):
        stage, log = document.path.stem, document.content["log"]
        if all((stage, log) != (other.path.stem, other.content["log"]) for other in found):
            found.append(document)
    return found


def logged(document: Document, name: str) -> list[tuple[float, float]]:
    """Steps of a log with what it says under `name`, as far as it does."""
    return [(entry["step"], entry[name]) for entry in document.content["log"] if "step" in entry and name in entry]


def _files(places: Sequence[Path]) -> Iterator[Path]:
    seen = 0
    for place in places:
        for path in [place] if place.is_file() else place.rglob("*.json"):
            seen += 1
            if seen > _MOST_FILES:
                raise HimmelError(
                    f"There are more than {_MOST_FILES:,} JSON files below {str(place)!r}; name the folders of runs."
                )
            yield path


def _read(path: Path) -> Document | None:
    """A file of one JSON object; None if it is anything else, which is nobody's fault."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Document(path, content) if isinstance(content, dict) else None


def _kind(document: Document) -> str | None:
    content = document.content
    benchmark = content.get("benchmark")
    if isinstance(benchmark, str) and benchmark in _BENCHMARKS:
        return _BENCHMARKS[benchmark]
    if document.path.parent.name == "training" and isinstance(content.get("log"), list):
        return "training"
    if {"level", "mode", "psnr", "signals"} <= content.keys():
        return "rungs"
    return None
