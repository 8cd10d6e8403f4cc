"""A tiny model, clips of a second, and questions about them in a file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from himmel.evaluation.benchmarks import benchmark
from himmel.evaluation.items import Item
from himmel.evaluation.runs.posing import Posing
from himmel.evaluation.runs.record import Row, read_rows
from himmel.evaluation.runs.runner import Asker, run_benchmark
from himmel.evaluation.runs.summary import RunSummary
from himmel.methods.choice import build as build_method
from himmel.methods.session import Session
from tiny_hosts import build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]

QUESTIONS: list[dict[str, Any]] = [
    {"id": "1", "video": "a.mp4", "question": "Which way?", "choices": ["left", "to the right side"], "answer": "left"},
    {"id": "2", "video": "a.mp4", "question": "What moves?", "choices": ["all of it", "no one"], "answer": 0},
    {"id": "3", "video": "a.mp4", "question": "How often?", "choices": ["once", "twice", "never"], "answer": "C"},
    {"id": "4", "video": "broken.mp4", "question": "Which way?", "choices": ["left", "right"], "answer": "left"},
    {"id": "5", "video": "b.mp4", "question": "Which way?", "choices": ["up", "down"], "answer": "up"},
    {"id": "6", "video": "b.mp4", "question": "What is it?", "answer": ["noise", "a texture"]},
    {"id": "7", "video": "b.mp4", "question": "When?", "choices": ["soon", "at the end"], "answer": 1},
]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder with two clips, a file that is no video, and seven questions."""
    folder = tmp_path_factory.mktemp("data")
    write_clip(folder / "a.mp4", num_frames=24, options={"g": "8"})
    write_clip(folder / "b.mp4", "still", num_frames=16, options={"g": "8"})
    (folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:500])
    lines = [json.dumps({"category": "motion" if int(one["id"]) < 5 else "still", **one}) for one in QUESTIONS]
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def checkpoint(nano_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    build(nano_config(nano_folder, num_anchors=3, steps_per_interval=4)).model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def session(checkpoint: Path) -> Session:
    """As the command makes it: what was asked before shows in no digit of an answer."""
    return Session(adapter=checkpoint, prompt_cache_bytes=0)


@dataclass(frozen=True)
class Evaluation:
    """Runs of the tiny model over the data, into folders of one's choice."""

    data: Path
    asker: Asker

    def items(self) -> list[Item]:
        return benchmark("file").load(self.data)

    def run(
        self, folder: Path, *, items: Sequence[Item] | None = None, posing: Posing | None = None, **asker: Any
    ) -> RunSummary:
        return run_benchmark(
            benchmark("file"),
            self.items() if items is None else items,
            name="questions.jsonl",
            data=self.data,
            folder=folder,
            asker=replace(self.asker, **asker),
            posing=posing or Posing(max_new_tokens=3),
        )


@pytest.fixture
def evaluation(data: Path, session: Session, checkpoint: Path) -> Evaluation:
    method = build_method("himmel")
    return Evaluation(data, Asker(session=session, method=method, adapter=str(checkpoint), threads=1))


def lasting(row: Row) -> Row:
    """A row without what differs from one time to the next: seconds and memory."""
    if row.record is None:
        return row
    return replace(row, record=replace(row.record, seconds={}, peak_memory=0))


@pytest.fixture
def rows_of() -> Callable[[Path], list[Row]]:
    """The rows of a run's folder, without what differs from one time to the next."""
    return lambda folder: [lasting(row) for row in read_rows(folder / "answers.jsonl")]
