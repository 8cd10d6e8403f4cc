"""LongVideoBench (Wu et al., arXiv:2407.15754): questions about videos from 8 seconds to an hour, with subtitles."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import ANSWER_WITH_LETTER, Lettered, after_subtitles, check_options
from himmel.evaluation.benchmarks.harness import longvideobench_letter
from himmel.evaluation.benchmarks.letters import listed
from himmel.evaluation.benchmarks.media import below, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, check_ids, check_split, letter

_ABSENT: Final = "N/A"
_OPTIONS: Final = tuple(f"option{index}" for index in range(5))
_COLUMNS: Final = {
    "id": ("id",),
    "video": ("video_path",),
    "question": ("question",),
    "candidates": ("candidates",),
    **{name: (name,) for name in _OPTIONS},
    "answer": ("correct_choice",),
    "subtitles": ("subtitle_path",),
    "subtitles_start": ("starting_timestamp_for_subtitles",),
    "duration": ("duration",),
    "group": ("duration_group",),
    "category": ("question_category",),
    "level": ("level",),
}
# Options are columns of their own in the Parquet files, a list in `lvb_val.json`.
_OPTIONAL: Final = ("candidates", *_OPTIONS, "group", "level")


@dataclass(frozen=True)
class LongVideoBench(Lettered):
    """LongVideoBench's validation split; the test split's answers are not public."""

    name: ClassVar[str] = "longvideobench"
    title: ClassVar[str] = "LongVideoBench"
    splits: ClassVar[tuple[str, ...]] = ("validation",)
    has_subtitles: ClassVar[bool] = True
    max_new_tokens: ClassVar[int] = 32

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items; media are in `videos/`, subtitles in `subtitles/`."""
        check_split(self, split)
        files = find_annotations(data, ("lvb_val.json", "**/validation*.parquet"), title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title, optional=_OPTIONAL)
        return check_ids([_item(data, row) for row in rows], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; subtitles go before the question, not between the frames."""
        asked = f"{item.question}\n{listed(item.choices)}\n{ANSWER_WITH_LETTER}\n" if listing else item.question
        return after_subtitles(subtitles, asked)

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `longvideobench_letter`; where it finds none, what a draw among the options gives on average."""
        found = longvideobench_letter(text)
        return 1 / len(item.choices) if found is None else float(found in item.answers)


def _item(data: Path, row: Row) -> Item:
    options = row.texts("candidates") or tuple(
        value for value in (row.maybe(name) for name in _OPTIONS) if value is not None and value != _ABSENT
    )
    check_options(row, "candidates", options)
    path = below(data, f"videos/{row.text('video')}")
    subtitles = row.maybe("subtitles")
    return Item(
        id=row.text("id"),
        media=name_below(data, path),
        path=path,
        kind="video",
        question=row.text("question"),
        choices=options,
        answers=(letter(row.index("answer", below=len(options))),),
        category=row.text("category"),
        task=row.maybe("level"),
        duration=row.number_of("duration"),
        duration_group=row.maybe("group"),
        subtitles=None if subtitles is None else below(data, f"subtitles/{subtitles}"),
        subtitles_start=row.number_of("subtitles_start") or 0.0,
    )
