"""MathVista (Lu et al., arXiv:2310.02255): mathematical questions about pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import ANSWER_WITH_LETTER, mean, options_of
from himmel.evaluation.benchmarks.expressions import final_answer, marked_answer, numbers
from himmel.evaluation.benchmarks.letters import find_letter, listed, without_thoughts
from himmel.evaluation.benchmarks.media import name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, picture_of, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split, letter

_COLUMNS: Final = {
    "id": ("pid",),
    "question": ("question",),
    "choices": ("choices",),
    "answer": ("answer",),
    "question_type": ("question_type",),
    "answer_type": ("answer_type",),
    "unit": ("unit",),
    "precision": ("precision",),
    "picture": ("decoded_image", "image"),
    "metadata": ("metadata",),
}
_DIGITS: Final = {1: "one decimal place", 2: "two decimal places"}


@dataclass(frozen=True)
class MathVista:
    """MathVista's testmini split, in lmms-eval's short format; answers are found by rules, not by a model."""

    name: ClassVar[str] = "mathvista"
    title: ClassVar[str] = "MathVista"
    splits: ClassVar[tuple[str, ...]] = ("testmini",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 256

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items with their pictures; annotations are `data/testmini*.parquet`."""
        split = check_split(self, split)
        files = find_annotations(data, (f"**/{split}*.parquet", f"{split}.json", "*.jsonl"), title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title, optional=("unit", "precision", "metadata"))
        return check_ids([_item(data, row) for row in rows], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; there are no subtitles. How a number should be written is always said."""
        asked = f"{item.question} (Unit: {item.unit})" if item.unit else item.question
        if item.choices:
            return f"{asked}\n{listed(item.choices)}\n{ANSWER_WITH_LETTER}" if listing else asked
        return "\n".join(part for part in (asked, _hint(item)) if part)

    def parse(self, text: str, item: Item) -> str | None:
        """The chosen letter; or a number or list as the benchmark writes it.

        A number is the first after "the answer is" and the like, else the last in the text.
        """
        if item.choices:
            return find_letter(final_answer(text), item.choices) or find_letter(text, item.choices)
        if item.answer_type == "list":
            return _list(without_thoughts(text), item)
        marked = numbers(marked_answer(text) or "")
        found = marked[:1] or numbers(without_thoughts(text))[-1:]
        return _as_written(found[0], item) if found else None

    def score(self, parsed: str | None, item: Item) -> float:
        """1 for the right letter, or for the number or list as it is written in the annotations."""
        if item.choices:
            return float(parsed in item.answers)
        return float(parsed is not None and parsed == _as_written(item.answers[0], item))

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """A model extracts the answer there, and the option that is spelt most alike is taken."""
        return "needs a judge"

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The share of right answers."""
        return {"accuracy": mean(scored)}


def _item(data: Path, row: Row) -> Item:
    options: tuple[str, ...] = ()
    answers = (row.text("answer"),)
    if row.text("question_type") == "multi_choice":
        options = options_of(row, "choices")
        if answers[0] not in options:
            raise row.wrong("answer", "is none of the choices")
        answers = (letter(options.index(answers[0])),)
    picture, path = picture_of(row, "picture", data)
    metadata = row.values.get("metadata")
    described = metadata if isinstance(metadata, dict) else {}
    precision = row.number_of("precision")
    return Item(
        id=row.text("id"),
        media=f"{name_below(data, row.file)}#{row.number}" if path is None else name_below(data, path),
        path=path,
        kind="image",
        question=row.text("question"),
        choices=options,
        answers=answers,
        picture=picture,
        category=_known(described.get("task")),
        task=_known(described.get("category")),
        answer_type=row.text("answer_type"),
        unit=row.maybe("unit"),
        precision=None if precision is None else int(precision),
        source=_known(described.get("source")),
    )


def _known(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _hint(item: Item) -> str:
    if item.answer_type == "integer":
        return "Answer the question using a single integer number."
    if item.answer_type == "float":
        digits = _DIGITS.get(item.precision or 0)
        return f"Answer the question using a single floating-point number with {digits}." if digits else ""
    return "Answer the question using a Python list." if item.answer_type == "list" else ""


def _list(text: str, item: Item) -> str | None:
    """The numbers of the last list in a text."""
    start, end = text.rfind("["), text.rfind("]")
    return _as_written(text[start : end + 1], item) if 0 <= start < end else None


def _as_written(number: str, item: Item) -> str | None:
    """In the annotations' form: a whole number, one with `precision` decimals, or a list of numbers."""
    try:
        if item.answer_type == "integer":
            return str(int(float(number)))
        if item.answer_type == "float":
            return str(round(float(number), item.precision or 0))
        if item.answer_type == "list":
            return str([float(one) for one in numbers(number)])
    except (ValueError, OverflowError):
        return None
    return number.strip()
