"""TOMATO (Shangguan et al., arXiv:2410.23266): reasoning about motion that no single frame shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import Lettered, options_of
from himmel.evaluation.benchmarks.harness import tomato_letter
from himmel.evaluation.benchmarks.media import below, first_there, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, check_ids, check_split, letter

_COLUMNS: Final = {
    "id": ("id",),
    "video": ("video_path",),
    "question": ("question",),
    "options": ("options",),
    "answer": ("answer",),
    "category": ("reason_type",),
    "shown": ("demonstration_type",),
}
_BEFORE: Final = (
    "You will be provided with frames uniformly sampled from a video, the frames are provided in chronological order "
    "of the video. Analyze these frames and provide the answer to the question about the video content. Answer the "
    "multiple-choice question about the video content.\n\nYou must use these frames to answer the multiple-choice "
    "question; do not rely on any externel knowledge or commonsense. \n\n"
)
_AFTER: Final = (
    "\n\nEven if the information in these separate frames is not enough to answer the question, PLEASE TRY YOUR BEST "
    "TO GUESS AN ANSWER WHICH YOU THINK WOULD BE THE MOST POSSIBLE ONE BASED ON THE QUESTION. \n\n"
    "DO NOT GENERATE ANSWER SUCH AS 'NOT POSSIBLE TO DETERMINE.' \n"
)


@dataclass(frozen=True)
class Tomato(Lettered):
    """TOMATO."""

    name: ClassVar[str] = "tomato"
    title: ClassVar[str] = "TOMATO"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 1024

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items; media are at `video_path`."""
        split = check_split(self, split)
        files = find_annotations(data, (f"**/{split}*.parquet", "*.json", "*.jsonl"), title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title, optional=("shown",))
        return check_ids([_item(data, row) for row in rows], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """The authors' words, in which the options are a Python dictionary; there are no subtitles."""
        if not listing:
            return item.question
        options = dict(zip(item.letters, item.choices, strict=True))
        asked = f"<question> \n{item.question} \n</question>\n\n<options> \n{options} \n</options>"
        return f"{_BEFORE}{asked}{_AFTER}"

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `tomato_letter`, which takes A where nothing fits."""
        return float(tomato_letter(text, item.choices) in item.answers)


def _item(data: Path, row: Row) -> Item:
    options = options_of(row, "options")
    name = row.text("video")
    path = first_there([below(data, name), below(data, f"videos/{name}")])
    return Item(
        id=row.text("id"),
        media=name_below(data, path),
        path=path,
        kind="video",
        question=row.text("question"),
        choices=options,
        answers=(letter(row.index("answer", below=len(options))),),
        category=row.text("category"),
        task=row.maybe("shown"),
    )
