"""Video-MME (Fu et al., arXiv:2405.21075): 900 videos, three questions each, with subtitles for most."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

from himmel.evaluation.benchmarks.common import ANSWER_WITH_LETTER, Lettered, after_subtitles, letter_in, options_of
from himmel.evaluation.benchmarks.harness import ranked_letter
from himmel.evaluation.benchmarks.letters import listed
from himmel.evaluation.benchmarks.media import below, name_below, with_suffixes
from himmel.evaluation.benchmarks.tables import find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, check_ids, check_split

Wording = Literal["lmms-eval", "authors", "qwen3-vl"]

_COLUMNS: Final = {
    "id": ("question_id",),
    "video": ("videoID",),
    "group": ("duration",),
    "domain": ("domain",),
    "category": ("task_type",),
    "question": ("question",),
    "options": ("options",),
    "answer": ("answer",),
}


@dataclass(frozen=True)
class VideoMme(Lettered):
    """Video-MME.

    Attributes:
        wording: how the question is put. `lmms-eval` speaks of subtitles even where none are shown; `authors` does
            only with them, and ends in "The best answer is:"; `qwen3-vl` is what lmms-eval takes for that host.
    """

    wording: Wording = "lmms-eval"

    name: ClassVar[str] = "video_mme"
    title: ClassVar[str] = "Video-MME"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = True
    max_new_tokens: ClassVar[int] = 16

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items; media are `data/{videoID}.mp4`, subtitles `subtitle/{videoID}.srt`."""
        split = check_split(self, split)
        files = find_annotations(data, (f"**/{split}*.parquet", "*.json", "*.jsonl"), title=self.title)
        items = []
        for row in read_rows(files, _COLUMNS, title=self.title):
            options = tuple(re.sub(r"^[A-Z]\.\s+", "", option) for option in options_of(row, "options"))
            path = with_suffixes(below(data, f"data/{row.text('video')}"), (".mp4", ".MP4", ".mkv"))
            items.append(
                Item(
                    id=row.text("id"),
                    media=name_below(data, path),
                    path=path,
                    kind="video",
                    question=row.text("question"),
                    choices=options,
                    answers=(letter_in(row, "answer", len(options)),),
                    category=row.text("category"),
                    task=row.text("domain"),
                    duration_group=row.text("group"),
                    subtitles=below(data, f"subtitle/{row.text('video')}.srt"),
                    cluster=row.text("video"),
                )
            )
        return check_ids(items, files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt` and `wording`."""
        if not listing:
            return after_subtitles(subtitles, item.question)
        asked = f"{item.question}\n{listed(item.choices)}"
        if self.wording == "qwen3-vl":
            text = f"Question: {item.question}\nOptions:\n{listed(item.choices)}\nAnswer with the option letter only."
            return after_subtitles(subtitles, text)
        sources = "the video and the subtitles"
        ending = "The best answer is:"
        if subtitles is None and self.wording == "authors":
            sources = "the video"
        elif subtitles is None:
            ending = f"\n{ANSWER_WITH_LETTER}"
        task = (
            f"Select the best answer to the following multiple-choice question based on {sources}. "
            "Respond with only the letter (A, B, C, or D) of the correct option."
        )
        return after_subtitles(subtitles, f"{task}\n{asked}\n{ending}")

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """See `ranked_letter`."""
        return float(ranked_letter(text) in item.answers)
