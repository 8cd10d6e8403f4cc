"""ActivityNet-QA (Yu et al., arXiv:1906.02467): free answers about videos of three minutes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import mean, normalised
from himmel.evaluation.benchmarks.letters import without_thoughts
from himmel.evaluation.benchmarks.media import below, name_below, with_suffixes
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split

_COLUMNS: Final = {
    "id": ("question_id",),
    "video": ("video_name",),
    "question": ("question",),
    "answer": ("answer",),
    "type": ("type",),
}
TYPES: Final = {
    "0": "motion", "1": "spatial relation", "2": "temporal relation", "3": "yes or no", "4": "colour", "5": "object",
    "6": "location", "7": "number", "8": "other",
}  # fmt: skip


@dataclass(frozen=True)
class ActivityNetQa:
    """ActivityNet-QA, scored by exact match of normalised words; `himmel eval judge` adds the verdict of a model."""

    name: ClassVar[str] = "activitynet_qa"
    title: ClassVar[str] = "ActivityNet-QA"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 64

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items; media are `all_test/v_{video_name}.mp4` (or .webm, .mkv)."""
        split = check_split(self, split)
        files = find_annotations(data, (f"**/{split}*.parquet", "*.json", "*.jsonl"), title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title, optional=("type",))
        return check_ids([_item(data, row) for row in rows], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; there are neither subtitles nor options."""
        return f"{item.question.capitalize()}? Answer the question using a single word or phrase."

    def parse(self, text: str, item: Item) -> str | None:
        """The words in small letters, without articles and punctuation, numbers to ten as digits."""
        return normalised(without_thoughts(text)) or None

    def score(self, parsed: str | None, item: Item) -> float:
        """1 for the same words, else 0."""
        return float(parsed is not None and parsed in {normalised(answer) for answer in item.answers})

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """A model judges every answer there."""
        return "needs a judge"

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The share of exact matches."""
        return {"exact match": mean(scored)}


def _item(data: Path, row: Row) -> Item:
    path = with_suffixes(below(data, f"all_test/v_{row.text('video')}"), (".mp4", ".webm", ".mkv"))
    kind = row.maybe("type")
    return Item(
        id=row.text("id"),
        media=name_below(data, path),
        path=path,
        kind="video",
        question=row.text("question"),
        choices=(),
        answers=(row.text("answer"),),
        category=None if kind is None else TYPES.get(kind, kind),
    )
