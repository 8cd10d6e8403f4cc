"""OCRBench (Liu et al., arXiv:2305.07895): 1,000 questions about text in pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import mean
from himmel.evaluation.benchmarks.letters import without_thoughts
from himmel.evaluation.benchmarks.media import name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, picture_of, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split

_COLUMNS: Final = {
    "question": ("question",),
    "answers": ("answer", "answers"),
    "dataset": ("dataset", "dataset_name"),
    "category": ("question_type", "type"),
    "picture": ("image", "image_path"),
}
# Handwritten formulas, whose blanks mean nothing and whose capitals do.
_FORMULAS: Final = "HME100k"


@dataclass(frozen=True)
class OcrBench:
    """OCRBench: right if one of the answers occurs in what the model wrote. The usual score is 1,000 times the mean."""

    name: ClassVar[str] = "ocrbench"
    title: ClassVar[str] = "OCRBench"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 128

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items with their pictures; annotations are `data/test*.parquet`, or `OCRBench.json` beside its pictures."""
        split = check_split(self, split)
        files = find_annotations(data, (f"**/{split}*.parquet", "*.json", "*.jsonl"), title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title)
        return check_ids([_item(data, place, row) for place, row in enumerate(rows)], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """The question; there are neither subtitles nor options."""
        return item.question.strip()

    def parse(self, text: str, item: Item) -> str | None:
        """All that the model wrote; nothing is cut out of it."""
        return without_thoughts(text) or None

    def score(self, parsed: str | None, item: Item) -> float:
        """1 if an answer occurs in it: without blanks for HME100k, in small letters for the others."""
        return 0.0 if parsed is None else _contains(parsed, item)

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """The same rule."""
        return _contains(text.strip(), item)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The share of right answers."""
        return {"accuracy": mean(scored)}


def _contains(text: str, item: Item) -> float:
    simplify = _without_blanks if item.source == _FORMULAS else _small
    return float(any(simplify(answer) in simplify(text) for answer in item.answers))


def _without_blanks(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def _small(text: str) -> str:
    # Full-width forms of ASCII, which Chinese and Japanese typing gives, are the same characters here.
    folded = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
    return text.translate(folded).lower().strip().replace("\n", " ")


def _item(data: Path, place: int, row: Row) -> Item:
    answers = tuple(answer for answer in row.texts("answers") if answer.strip())
    if not answers:
        # An empty answer would occur in every text.
        raise row.wrong("answers", "has no answer")
    picture, path = picture_of(row, "picture", data)
    return Item(
        id=str(place),
        media=f"{name_below(data, row.file)}#{row.number}" if path is None else name_below(data, path),
        path=path,
        kind="image",
        question=row.text("question"),
        choices=(),
        answers=answers,
        picture=picture,
        category=row.maybe("category"),
        source=row.text("dataset"),
    )
