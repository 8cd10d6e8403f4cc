"""MLVU (Zhou et al., arXiv:2406.04264): long videos; 7 tasks in the dev split, 9 in the test split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.common import Lettered, check_options, letter_in, mean_of_means
from himmel.evaluation.benchmarks.harness import ranked_letter
from himmel.evaluation.benchmarks.letters import split_options
from himmel.evaluation.benchmarks.media import below, first_there, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split

_COLUMNS: Final = {
    "video": ("video_name",),
    "question": ("question",),
    "answer": ("answer",),
    "task": ("task_type",),
}
TASKS: Final[dict[str, tuple[str, ...]]] = {
    "test": (
        "anomaly_reco", "count", "ego", "needleQA", "order", "plotQA", "sportsQA", "topic_reasoning", "tutorialQA",
    ),
    "dev": ("anomaly_reco", "count", "ego", "needle", "order", "plotQA", "topic_reasoning"),
}  # fmt: skip


@dataclass(frozen=True)
class Mlvu(Lettered):
    """MLVU; the report's M-Avg is over the nine tasks of the test split, whose answers go beyond D."""

    name: ClassVar[str] = "mlvu"
    title: ClassVar[str] = "MLVU"
    splits: ClassVar[tuple[str, ...]] = ("test", "dev")
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 16

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items; the splits are two downloads, of which `data` names one. Media are at `video_name` in it."""
        split = check_split(self, split)
        files = find_annotations(data, ("**/test*.parquet", "*.json", "*.jsonl"), title=f"{self.title} ({split})")
        rows = read_rows(files, _COLUMNS, title=self.title)
        unknown = sorted({row.text("task") for row in rows} - set(TASKS[split]))
        if unknown:
            raise HimmelError(
                f"{str(files[0])!r} has the task {unknown[0]!r}, which MLVU's {split} split has not; ask for the other "
                "split (test or dev), or name its folder."
            )
        return check_ids([_item(data, place, row) for place, row in enumerate(rows)], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; there are no subtitles. lmms-eval's words for the dev split serve both."""
        return f"{item.released}\nOnly give the best option.\nBest option: (" if listing else item.question

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `ranked_letter`, which never finds a letter beyond D."""
        return float(ranked_letter(text) in item.answers)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """M-Avg: the mean of the tasks' accuracies."""
        return {"M-Avg": mean_of_means(scored, lambda one: one.task)}


def _item(data: Path, place: int, row: Row) -> Item:
    released = row.text("question")
    question, options = split_options(released)
    check_options(row, "question", options)
    name = row.text("video")
    path = first_there([below(data, name), below(data, f"video/{name}"), below(data, f"videos/{name}")])
    return Item(
        id=f"{row.text('task')}/{place}",
        media=name_below(data, path),
        path=path,
        kind="video",
        question=question,
        choices=options,
        answers=(letter_in(row, "answer", len(options)),),
        category=row.text("task"),
        task=row.text("task"),
        released=released,
    )
