"""Anybody's questions: a JSON-lines, JSON or Parquet file with a question a row, about videos or pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.common import ANSWER_WITH_LETTER, after_subtitles, check_options, mean, normalised
from himmel.evaluation.benchmarks.letters import find_letter, listed, without_thoughts
from himmel.evaluation.benchmarks.media import below, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, picture_of, read_rows
from himmel.evaluation.items import HarnessPoints, Item, MediaKind, Scored, check_ids, check_split, letter

_NAMES: Final = (
    "id", "video", "image", "question", "choices", "answer", "category", "task", "duration", "duration_group",
    "subtitles", "start", "end",
)  # fmt: skip
_COLUMNS: Final = {name: (name,) for name in _NAMES}
_OPTIONAL: Final = tuple(name for name in _NAMES if name not in ("question", "answer"))


@dataclass(frozen=True)
class QuestionFile:
    """Questions of a file of one's own.

    A row has `video` or `image` (a path below the file's folder, or in Parquet a picture), `question` and `answer`, and
    may have `choices`, `id`, `category`, `task`, `duration` (seconds), `duration_group`, `subtitles` (a path), `start`
    and `end` (seconds). With choices, `answer` is the text of one of them, its letter, or its index from 0 as a number,
    unless that is also the text of another choice; without, a text or a list of texts that count as right.
    """

    name: ClassVar[str] = "file"
    title: ClassVar[str] = "a file of questions"
    splits: ClassVar[tuple[str, ...]] = ("all",)
    has_subtitles: ClassVar[bool] = True
    max_new_tokens: ClassVar[int] = 64

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items of the file `data`, or of the only `questions.*` in the folder `data`."""
        check_split(self, split)
        if data.is_dir():
            data = find_annotations(data, ("questions.jsonl", "questions.parquet", "questions.json"), title=self.title)[
                0
            ]
        if not data.is_file():
            raise HimmelError(f"{str(data)!r} does not exist; name a file of questions (.jsonl, .json or .parquet).")
        rows = read_rows([data], _COLUMNS, title=self.title, optional=_OPTIONAL)
        return check_ids([_item(data.parent, row) for row in rows], data)

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """The question, and its options with letters if it has any."""
        asked = item.question
        if item.choices and listing:
            asked = f"{item.question}\n{listed(item.choices)}\n{ANSWER_WITH_LETTER}"
        return after_subtitles(subtitles, asked)

    def parse(self, text: str, item: Item) -> str | None:
        """The chosen letter; or the words in one form (`normalised`)."""
        return find_letter(text, item.choices) if item.choices else normalised(without_thoughts(text)) or None

    def score(self, parsed: str | None, item: Item) -> float:
        """1 for the right letter or the same words."""
        right = item.answers if item.choices else tuple(normalised(answer) for answer in item.answers)
        return float(parsed in right)

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """lmms-eval has no task for it: our own score."""
        return self.score(self.parse(text, item), item)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The share of right answers."""
        return {"accuracy": mean(scored)}


def _item(data: Path, row: Row) -> Item:
    choices = row.texts("choices")
    if choices:
        check_options(row, "choices", choices)
        if len(set(choices)) < len(choices):
            raise row.wrong("choices", "has an option twice")
    kind: MediaKind = "image" if row.values.get("video") is None else "video"
    picture, path = picture_of(row, kind, data)
    subtitles = row.maybe("subtitles")
    start, end = row.number_of("start"), row.number_of("end")
    if start is not None and start < 0:
        raise row.wrong("start", "is before the video's own")
    if end is not None and not (start or 0.0) < end:
        raise row.wrong("end", "is not after the start")
    return Item(
        id=row.maybe("id") or str(row.number),
        media=f"{name_below(data, row.file)}#{row.number}" if path is None else name_below(data, path),
        path=path,
        kind=kind,
        question=row.text("question"),
        choices=choices,
        answers=(_letter(row, choices),) if choices else _answers(row),
        picture=picture,
        start=start,
        end=end,
        category=row.maybe("category"),
        task=row.maybe("task"),
        duration=row.number_of("duration"),
        duration_group=row.maybe("duration_group"),
        subtitles=None if subtitles is None else below(data, subtitles),
    )


def _answers(row: Row) -> tuple[str, ...]:
    answers = row.texts("answer") if isinstance(row.values.get("answer"), list) else (row.text("answer"),)
    if not answers:
        raise row.wrong("answer", "has no answer")
    return answers


def _letter(row: Row, choices: Sequence[str]) -> str:
    given = row.values.get("answer")
    if isinstance(given, int) and not isinstance(given, bool):
        if str(given) in choices and choices.index(str(given)) != given:
            raise row.wrong("answer", "is one choice by its text and another by its index; give the letter")
        return letter(row.index("answer", below=len(choices)))
    answer = row.text("answer")
    if answer in choices:
        return letter(choices.index(answer))
    letters = [letter(index) for index in range(len(choices))]
    if answer.strip().upper() in letters:
        return answer.strip().upper()
    raise row.wrong("answer", "is neither one of the choices nor the letter or index of one")
