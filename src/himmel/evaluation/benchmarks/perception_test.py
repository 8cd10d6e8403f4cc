"""Perception Test (Patraucean et al., arXiv:2305.13786), multiple-choice questions of the validation split."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import ANSWER_WITH_LETTER, Lettered, options_of
from himmel.evaluation.benchmarks.harness import perception_test_letter
from himmel.evaluation.benchmarks.letters import listed
from himmel.evaluation.benchmarks.media import below, name_below, with_suffixes
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, check_ids, check_split, letter

_COLUMNS: Final = {
    "id": ("question_id",),
    "video": ("video_name",),
    "question": ("question",),
    "options": ("options",),
    "answer": ("answer_id",),
    "area": ("area",),
    "reasoning": ("reasoning",),
}


@dataclass(frozen=True)
class PerceptionTest(Lettered):
    """Perception Test; the test split's answers are not public."""

    name: ClassVar[str] = "perception_test"
    title: ClassVar[str] = "Perception Test"
    splits: ClassVar[tuple[str, ...]] = ("validation",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 16

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items; media are `videos/{video_name}.mp4`."""
        check_split(self, split)
        patterns = ("mc_question_val/*.parquet", "**/validation*.parquet", "*.json", "*.jsonl")
        files = find_annotations(data, patterns, title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title, optional=("area", "reasoning"))
        return check_ids([_item(data, row) for row in rows], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; there are no subtitles."""
        return f"{item.question}\n{listed(item.choices)}\n{ANSWER_WITH_LETTER}" if listing else item.question

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `perception_test_letter`."""
        return float(perception_test_letter(text) in item.answers)


def _item(data: Path, row: Row) -> Item:
    options = options_of(row, "options")
    path = with_suffixes(below(data, f"videos/{row.text('video')}"), (".mp4", ".MP4"))
    return Item(
        id=f"{row.text('video')}/{row.text('id')}",
        media=name_below(data, path),
        path=path,
        kind="video",
        question=row.text("question"),
        choices=options,
        answers=(letter(row.index("answer", below=len(options))),),
        category=row.maybe("area"),
        task=row.maybe("reasoning"),
    )
