"""What a run writes about itself and about each of its answers, and how that is read again.

A run is a folder. `run.json` says what was asked, of which model and how; `answers.jsonl` has one line for each
question, written when it was answered.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from himmel._files import atomic_path
from himmel.errors import HimmelError
from himmel.evaluation.items import Item, MediaKind
from himmel.methods.removed import Removed

HEADER: Final = "run.json"
ANSWERS: Final = "answers.jsonl"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was read and shown for one answer; `record` in the file.

    Attributes:
        video_sha256: hash of the video or picture file.
        frames: indices of the pictures that the host saw; empty for a single image.
        times: when they are shown, in seconds.
        backend: where motion was read from; None if none was.
        pixels: width and height of the pictures as handed to the host.
        prompt_sha256: hash of the prompt's token ids, as little-endian 64-bit integers.
        tokens: of the prompt by kind: text, image, motion.
        removed: None if the method removes nothing.
        seed: as given.
        seconds: wall time by stage, see `Answer`, with `read_ahead` where the video was read before the call, for this
            answer; `first_token` from the call, in which the file is opened, to the first token or to the scores of the
            options. Of a batch, that is the whole batch's.
        peak_memory: the most that the process had held by then, in bytes.
        cost: of an answer by an API, at the stated prices; None without prices, or where the API counts no tokens.
        finish: why an API's answer ended, in its words, such as "stop" or "length".
    """

    video_sha256: str
    frames: tuple[int, ...]
    times: tuple[float, ...]
    backend: str | None
    pixels: tuple[int, int]
    prompt_sha256: str
    tokens: Mapping[str, int]
    removed: Removed | None
    seed: int
    seconds: Mapping[str, float]
    peak_memory: int
    cost: float | None = None
    finish: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answered question: a line of `answers.jsonl`.

    Attributes:
        id: the question's, unique in a run.
        media: what it is about, see `Item.media`; `media_kind` likewise.
        cluster: questions with the same one are about the same video, see `Item.cluster`.
        category: kind of question, by the benchmark's own name; `task` and `duration_group` likewise, None without.
        duration: of the video in seconds, where it is known.
        question: as the benchmark words it, without its options.
        choices: the options, without letters; empty where the answer is free.
        answer: what is right: a letter, or the wordings that are.
        given: what the model wrote, or the text of the option that it chose; None where it was not asked.
        parsed: the answer in that, None if there is none.
        scores: of the options, in their order; None where none were scored.
        right: whether the answer gets all points.
        points: 0..1.
        harness_points: what lmms-eval gives for the same text, see `Benchmark.harness_points`; None where it gives no
            number, and where options were scored, for there is no text then.
        error: why the question could not be asked, in one sentence; such an answer is wrong.
        record: what was read; None with an error.
    """

    id: str
    media: str
    media_kind: MediaKind
    cluster: str
    category: str | None = None
    task: str | None = None
    duration: float | None = None
    duration_group: str | None = None
    question: str
    choices: tuple[str, ...] = ()
    answer: tuple[str, ...]
    given: str | None = None
    parsed: str | None = None
    scores: tuple[float, ...] | None = None
    right: bool
    points: float
    harness_points: float | None = None
    error: str | None = None
    record: Evidence | None = None

    def to_line(self) -> str:
        """The row as one line of JSON, with its end."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The row that such a line holds.

        Raises:
            TypeError, KeyError: a field is missing, or there is one too many.
        """
        record = content["record"]
        if record is not None:
            removed = None if record["removed"] is None else Removed(**record["removed"])
            record = Evidence(**{**_tuples(record, "frames", "times", "pixels"), "removed": removed})
        return cls(**{**_tuples(content, "choices", "answer", "scores"), "record": record})


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a run is: `run.json`.

    Attributes:
        benchmark: its name, or that of a file of questions.
        data: the folder that the media are in.
        questions: how many are asked.
        questions_sha256: hash of what they are, see `questions_sha256`.
        method: its name under `name`, and its options.
        host: name or folder.
        adapter: checkpoint folder, `nano` for the one that ships; None for a method without one.
        adapter_sha256: hash of the adapter's weights.
        settings: how questions are worded and answers scored.
        versions: of everything that decides the answers.
        machine: what it ran on.
        started: when it was first started, ISO 8601 in UTC.
        summary: of all answers, once they are there.
        trained: what the adapter's checkpoint says of it, by the names of its configuration: streams, branch, fusion,
            rank of LoRA, anchors, motion tokens of an interval and so on; None without an adapter.
    """

    benchmark: str
    data: str
    questions: int
    questions_sha256: str
    method: Mapping[str, Any]
    host: str | None
    adapter: str | None
    adapter_sha256: str | None
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    summary: Mapping[str, Any] | None = None
    trained: Mapping[str, Any] | None = None

    def setting(self, option: str) -> Any:
        """An option of the method, or what the adapter was trained with where that is left open; None if unknown."""
        own = self.method.get(option)
        return (self.trained or {}).get(option) if own is None else own

    def write(self, folder: Path) -> None:
        """Write `run.json` into the run's folder."""
        with atomic_path(folder / HEADER) as file:
            file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def differences(self, other: "Header") -> list[str]:
        """What makes `other` another run, a clause for each; moved folders and another machine do not."""
        found = []
        for name in ("benchmark", "questions", "questions_sha256", "host", "adapter_sha256"):
            own, others = vars(self)[name], vars(other)[name]
            if own != others:
                found.append(f"{name} {own!r}, not {others!r}")
        for group in ("method", "settings", "versions"):
            own, others = vars(self)[group], vars(other)[group]
            changed = [name for name in {**own, **others} if own.get(name) != others.get(name)]
            found += [f"{group} {name}={own.get(name)!r}, not {others.get(name)!r}" for name in changed]
        return found


@dataclass(frozen=True)
class Run:
    """A run as it was found on the disk."""

    folder: Path
    header: Header
    rows: tuple[Row, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every question has its answer."""
        return len(self.rows) == self.header.questions


def load_run(folder: Path, *, whole: bool = True) -> Run:
    """Read a run again.

    Args:
        folder: that `himmel eval` wrote.
        whole: refuse a run of which answers are missing.

    Raises:
        HimmelError: there is no run, it is damaged, two answers have the same id, or answers are missing.
    """
    run = Run(folder, read_header(folder), tuple(read_rows(folder / ANSWERS)))
    if whole and not run.is_whole:
        raise HimmelError(
            f"The run {str(folder)!r} has {len(run.rows)} of {run.header.questions} answers; run the same "
            "`himmel eval` again to get the others."
        )
    return run


def read_header(folder: Path) -> Header:
    """Read `run.json` in a run's folder.

    Raises:
        HimmelError: it is not there, or is damaged.
    """
    path = folder / HEADER
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Header(**content)
    except OSError as error:
        raise HimmelError(
            f"{str(folder)!r} is no run: {HEADER} cannot be read ({error.strerror}); name a folder that `himmel eval` "
            "wrote."
        ) from error
    except (ValueError, TypeError) as error:
        raise HimmelError(f"{str(path)!r} is damaged ({error}); run `himmel eval` into another folder.") from error


def read_rows(path: Path) -> list[Row]:
    """Read answers, as many as were written whole; a file that is not there has none.

    A last line without an end was cut off in writing: it does not count.

    Raises:
        HimmelError: another line cannot be read, or two answers have the same id.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    except OSError as error:
        raise HimmelError(f"Cannot read {str(path)!r} ({error.strerror}); make it readable.") from error
    rows: dict[str, Row] = {}
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            row = Row.from_json(json.loads(line))
        except (ValueError, TypeError, KeyError) as error:
            raise HimmelError(
                f"Line {number} of {str(path)!r} is no answer ({error}); remove that line to have its question asked "
                "again."
            ) from error
        if row.id in rows:
            raise HimmelError(
                f"{str(path)!r} has two answers to question {row.id!r}, the second in line {number}; remove one of "
                "these lines."
            )
        rows[row.id] = row
    return list(rows.values())


def spent_on(rows: Iterable[Row]) -> float:
    """What these answers cost, as far as it is known."""
    return sum(row.record.cost for row in rows if row.record is not None and row.record.cost is not None)


def questions_sha256(items: Iterable[Item]) -> str:
    """Hash of what is asked: ids, media, questions, choices and right answers, in any order."""
    asked = sorted([item.id, item.media, item.question, *item.choices, *item.answers] for item in items)
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def weights_sha256(folder: Path) -> str:
    """Hash of a checkpoint's weights and settings, without the states that training continues from."""
    digest = hashlib.sha256()
    files: Sequence[Path] = sorted([*folder.rglob("*.safetensors"), *folder.glob("*.json")])
    for file in files:
        if "state" not in file.relative_to(folder).parts:
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _tuples(content: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The same fields, with JSON's lists as tuples."""
    return {**content, **{name: None if content[name] is None else tuple(content[name]) for name in names}}
