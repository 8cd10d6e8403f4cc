"""MotionBench (Hong et al., arXiv:2501.02955): fine motion in short videos."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.common import Lettered, check_options, letter_in
from himmel.evaluation.benchmarks.harness import motionbench_letter
from himmel.evaluation.benchmarks.letters import listed, split_options
from himmel.evaluation.benchmarks.media import below, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, check_ids, check_split

_COLUMNS: Final = {
    "video": ("video_path",),
    "category": ("question_type",),
    "kind": ("video_type",),
    "questions": ("qa",),
}
_MOST_FILES: Final = 1_000_000
# Answers of the test split that are not public.
_HIDDEN: Final = "NA"


@dataclass(frozen=True)
class MotionBench(Lettered):
    """MotionBench's questions whose answers are public."""

    name: ClassVar[str] = "motionbench"
    title: ClassVar[str] = "MotionBench"
    splits: ClassVar[tuple[str, ...]] = ("dev",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 64

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items of `video_info.meta.jsonl`; media are found by their file names, in whichever folder below `data`."""
        check_split(self, split)
        files = find_annotations(data, ("**/video_info.meta.jsonl", "*.jsonl", "*.json"), title=self.title)
        there = _files_by_name(data)
        items = []
        for row in read_rows(files, _COLUMNS, title=self.title, optional=("kind",)):
            items += _items(data, row, there)
        return check_ids(items, files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; there are no subtitles."""
        if not listing:
            return item.question
        return f"{item.question}\n{listed(item.choices)}\nAnswer with only the option letter (A, B, C, D, E, or F)."

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `motionbench_letter`."""
        return float(motionbench_letter(text) in item.answers)


def _items(data: Path, row: Row, there: dict[str, Path]) -> list[Item]:
    asked = row.values.get("questions")
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise row.wrong("questions", "is no list of questions")
    name = row.text("video")
    path = there.get(Path(name).name.lower()) or below(data, name)
    items = []
    for values in asked:
        one = Row(row.file, row.number, values)
        if one.text("answer").strip().upper() == _HIDDEN:
            continue
        question, options = split_options(one.text("question"))
        check_options(one, "question", options)
        items.append(
            Item(
                id=one.text("uid"),
                media=name_below(data, path),
                path=path,
                kind="video",
                question=" ".join(question.split()),
                choices=tuple(" ".join(option.split()) for option in options),
                answers=(letter_in(one, "answer", len(options)),),
                category=row.text("category"),
                task=row.maybe("kind"),
            )
        )
    return items


def _files_by_name(data: Path) -> dict[str, Path]:
    """Every video below a folder by its name in small letters."""
    found: dict[str, Path] = {}
    for folder, _, names in os.walk(data):
        for name in names:
            if name.lower().endswith(".mp4"):
                found.setdefault(name.lower(), Path(folder) / name)
        if len(found) > _MOST_FILES:
            raise HimmelError(f"{str(data)!r} has more than {_MOST_FILES:,} videos; name the folder of MotionBench.")
    return found
