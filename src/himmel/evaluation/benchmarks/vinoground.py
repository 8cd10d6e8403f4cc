"""Vinoground (Zhang et al., arXiv:2410.02763): pairs of short videos whose captions differ in word order alone.

Each of 500 pairs asks four questions: which caption fits each video (text), and which half of a joined video fits each
caption (video). A pair counts only if both questions are answered rightly, a group only if all four are.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import Lettered, mean
from himmel.evaluation.benchmarks.letters import split_options
from himmel.evaluation.benchmarks.media import below, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split

_COLUMNS: Final = {
    "index": ("idx",),
    "video": ("video_name",),
    "question": ("question",),
    "answer": ("GT",),
}
_LABELS: Final = {"index": ("index",), "major": ("major",)}
_FILES: Final = {
    "text": "vinoground_videos/vinoground_textscore.json",
    "video": "vinoground_videos_concated/vinoground_videoscore.json",
}


@dataclass(frozen=True)
class Vinoground(Lettered):
    """Vinoground."""

    name: ClassVar[str] = "vinoground"
    title: ClassVar[str] = "Vinoground"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 16

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items of the two score files; media are at `video_name`, categories in `lmmseval*.parquet` if it is there."""
        check_split(self, split)
        categories = _categories(data)
        items: list[Item] = []
        for task, name in _FILES.items():
            files = find_annotations(data, (name, f"**/{Path(name).name}"), title=self.title)
            rows = read_rows(files, _COLUMNS, title=self.title)
            items += check_ids([_item(data, task, row, categories) for row in rows], files[0])
        return items

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """The released question, whose options are in it; there are no subtitles."""
        return f"{item.released}\nPlease only output one English character." if listing else item.question

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """The first character counts."""
        return float(text[:1].upper() in item.answers)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Shares of pairs with all four answers right, with both captions, with both halves; and of single answers."""
        pairs: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"text": [], "video": []})
        for one in scored:
            number, _, _ = one.id.partition("_")
            pairs[number][one.task or ""].append(one.points)
        text = [_both(answers["text"]) for answers in pairs.values()]
        video = [_both(answers["video"]) for answers in pairs.values()]
        group = [one and other for one, other in zip(text, video, strict=True)]
        shares = {"group": group, "text": text, "video": video}
        return {name: sum(right) / len(right) for name, right in shares.items()} | {"single": mean(scored)}


def _both(points: Sequence[float]) -> bool:
    return len(points) == 2 and all(one == 1 for one in points)


def _item(data: Path, task: str, row: Row, categories: dict[str, str]) -> Item:
    released = row.text("question")
    question, options = split_options(released)
    answer = row.text("answer").strip().upper()
    if len(options) != 2:
        # Questions about a joined video name its halves in the running text.
        question, options = released, ("A", "B")
    if answer not in ("A", "B"):
        raise row.wrong("answer", "is neither A nor B")
    index = row.text("index")
    path = below(data, row.text("video"))
    return Item(
        id=f"{index}_{task}",
        media=name_below(data, path),
        path=path,
        kind="video",
        question=question,
        choices=options,
        answers=(answer,),
        category=categories.get(f"{index}_{task}"),
        task=task,
        released=released,
        cluster=index.partition("_")[0],
    )


def _categories(data: Path) -> dict[str, str]:
    files = sorted(data.glob("**/lmmseval*.parquet")) if data.is_dir() else []
    rows = read_rows(files, _LABELS, title="Vinoground") if files else []
    return {row.text("index"): row.text("major") for row in rows}
