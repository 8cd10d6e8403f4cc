"""RealWorldQA (xAI, 2024): 765 questions about pictures, most of them from cars."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import letter_in, mean, normalised
from himmel.evaluation.benchmarks.harness import ranked_letter
from himmel.evaluation.benchmarks.letters import find_letter, split_options, without_thoughts
from himmel.evaluation.benchmarks.media import name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, picture_of, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split

_COLUMNS: Final = {"question": ("question",), "answer": ("answer",), "picture": ("image", "image_path")}
# How a released question ends, after its options if it has any.
_ENDINGS: Final = (
    "Please answer directly with only the letter of the correct option and nothing else.",
    "Please answer directly with a single word or number.",
)


@dataclass(frozen=True)
class RealWorldQa:
    """RealWorldQA; options are inside the question, and some answers are words or numbers."""

    name: ClassVar[str] = "realworldqa"
    title: ClassVar[str] = "RealWorldQA"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 16

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items with their pictures; annotations are `data/test*.parquet`."""
        split = check_split(self, split)
        files = find_annotations(data, (f"**/{split}*.parquet", "*.json", "*.jsonl"), title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title)
        return check_ids([_item(data, place, row) for place, row in enumerate(rows)], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """The question as released; there are no subtitles."""
        return item.question if item.choices and not listing else (item.released or item.question).strip()

    def parse(self, text: str, item: Item) -> str | None:
        """The chosen letter; or the words in one form (`normalised`)."""
        if item.choices:
            return find_letter(text, item.choices)
        return normalised(without_thoughts(text)) or None

    def score(self, parsed: str | None, item: Item) -> float:
        """1 for the right letter or the same words."""
        right = item.answers if item.choices else tuple(normalised(answer) for answer in item.answers)
        return float(parsed in right)

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `ranked_letter`; words must be the same in small letters."""
        answer = item.answers[0].strip()
        if answer.upper() in ("A", "B", "C", "D"):
            return float(ranked_letter(text) == answer.upper())
        return float(text.lower().strip().rstrip(".") == answer.lower())

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The share of right answers."""
        return {"accuracy": mean(scored)}


def _item(data: Path, place: int, row: Row) -> Item:
    released = row.text("question").strip()
    bare = released
    for ending in _ENDINGS:
        bare = bare.removesuffix(ending).strip()
    question, options = split_options(bare)
    picture, path = picture_of(row, "picture", data)
    return Item(
        id=str(place),
        media=f"{name_below(data, row.file)}#{row.number}" if path is None else name_below(data, path),
        path=path,
        kind="image",
        question=question,
        choices=options,
        answers=(letter_in(row, "answer", len(options)) if options else row.text("answer").strip(),),
        picture=picture,
        released=released,
    )
