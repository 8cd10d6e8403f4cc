"""MVBench (Li et al., arXiv:2311.17005): 20 tasks of 200 questions about short videos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import Lettered, letter_of_text, mean_of_means, options_of
from himmel.evaluation.benchmarks.harness import mvbench_letter
from himmel.evaluation.benchmarks.letters import listed
from himmel.evaluation.benchmarks.media import below, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split

_COLUMNS: Final = {
    "video": ("video",),
    "question": ("question",),
    "options": ("candidates",),
    "answer": ("answer",),
    "start": ("start",),
    "end": ("end",),
}
_PERCEPTION: Final = ("perception/videos",)
_CLEVRER: Final = ("clevrer/video_validation",)
_CHARADES: Final = ("star/Charades_v1_480", "star/Charades_segment")

# Task -> its folder of whole files, then one of clips that were already cut (which lmms-eval reads) or converted.
TASKS: Final[dict[str, tuple[str, ...]]] = {
    "action_antonym": ("ssv2_video", "ssv2_video_mp4"),
    "action_count": _PERCEPTION,
    "action_localization": ("sta/sta_video", "sta/sta_video_segment"),
    "action_prediction": _CHARADES,
    "action_sequence": _CHARADES,
    "character_order": _PERCEPTION,
    "counterfactual_inference": _CLEVRER,
    "egocentric_navigation": ("vlnqa",),
    "episodic_reasoning": ("tvqa/frames_fps3_hq", "tvqa/video_fps3_hq_segment"),
    "fine_grained_action": ("Moments_in_Time_Raw/videos",),
    "fine_grained_pose": ("nturgbd", "nturgbd_convert"),
    "moving_attribute": _CLEVRER,
    "moving_count": _CLEVRER,
    "moving_direction": _CLEVRER,
    "object_existence": _CLEVRER,
    "object_interaction": _CHARADES,
    "object_shuffle": _PERCEPTION,
    "scene_transition": ("scene_qa/video",),
    "state_change": _PERCEPTION,
    "unexpected_action": ("FunQA_test/test",),
}
_ROOTS: Final = ("", "video", "data0613", "video/data0613")
_FRAME_RATE: Final = 3.0


@dataclass(frozen=True)
class MvBench(Lettered):
    """MVBench.

    Where whole videos are there, an item's start and end say which part is asked about; clips that were already cut
    are used as they are.
    """

    name: ClassVar[str] = "mvbench"
    title: ClassVar[str] = "MVBench"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 16

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items of all 20 tasks; annotations are `json/{task}.json`, media in the folders of `TASKS`."""
        check_split(self, split)
        items: list[Item] = []
        for task in TASKS:
            patterns = (f"json/{task}.json", f"{task}.json", f"**/{task}/*.parquet")
            files = find_annotations(data, patterns, title=f"{self.title}'s task {task}")
            rows = read_rows(files, _COLUMNS, title=self.title, optional=("start", "end"))
            items += check_ids([_item(data, task, place, row) for place, row in enumerate(rows)], files[0])
        return items

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; there are no subtitles."""
        if not listing:
            return item.question
        options = listed(item.choices, "({letter}) {text}")
        return f"Question:{item.question}\nOption:\n{options}\nOnly give the best option.\n"

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `mvbench_letter`; the task's mean leaves out empty answers."""
        return float(mvbench_letter(text) in item.answers) if text else "left out"

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The mean of the tasks' accuracies."""
        return {"Avg": mean_of_means(scored, lambda one: one.task)}


def _item(data: Path, task: str, place: int, row: Row) -> Item:
    options = options_of(row, "options")
    path, whole = _find(data, task, row.text("video"))
    start, end = row.number_of("start"), row.number_of("end")
    if start is not None and end is not None and not 0 <= start < end:
        raise row.wrong("end", "is not after the start")
    frames = path.is_dir()
    return Item(
        id=f"{task}/{place}",
        media=name_below(data, path),
        path=path,
        kind="frames" if frames else "video",
        question=row.text("question"),
        choices=options,
        answers=(letter_of_text(row, "answer", options),),
        start=start if whole else None,
        end=end if whole else None,
        frame_rate=_FRAME_RATE if frames else None,
        category=task,
        task=task,
    )


def _find(data: Path, task: str, name: str) -> tuple[Path, bool]:
    """A video's place and whether it is whole, not a clip that was already cut."""
    places = [
        (below(data, f"{root}/{folder}/{found}" if root else f"{folder}/{found}"), order == 0)
        for order, folder in enumerate(TASKS[task])
        for root in _ROOTS
        for found in (name, *([] if order == 0 else [f"{name}.mp4"]))
    ]
    return next((place for place in places if place[0].exists()), places[0])
