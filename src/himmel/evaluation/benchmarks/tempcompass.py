"""TempCompass (Liu et al., arXiv:2403.00476): time in videos that were turned round, sped up or cut together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import check_options, mean_of_means
from himmel.evaluation.benchmarks.letters import find_letter, split_options, without_thoughts
from himmel.evaluation.benchmarks.media import below, name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split, letter

_COLUMNS: Final = {
    "video": ("video_id",),
    "question": ("question",),
    "answer": ("answer",),
    "category": ("dim",),
}
_ENDINGS: Final = {
    "multi-choice": "\nPlease directly give the best option:",
    "yes_no": "\nPlease answer yes or no:",
    "caption_matching": "\nPlease directly give the best option:",
}
# "Sentence A: ...", "Caption B: ...", "Option 1: ..."
_CAPTION: Final = re.compile(r"\s*((?:Sentence|Caption|Option)\s+[A-Z0-9])\s*:\s*(.+)")


@dataclass(frozen=True)
class TempCompass:
    """TempCompass's three tasks with one right answer; its fourth, captions, only a judging model can score."""

    name: ClassVar[str] = "tempcompass"
    title: ClassVar[str] = "TempCompass"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 32

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items of the tasks' folders, such as `yes_no/test*.parquet`; media are `videos/{video_id}.mp4`."""
        split = check_split(self, split)
        items: list[Item] = []
        for task in _ENDINGS:
            patterns = (f"{task}/{split}*.parquet", f"**/{task}/*.parquet", f"**/{task}.json", f"**/{task}.jsonl")
            files = find_annotations(data, patterns, title=f"{self.title}'s task {task}")
            rows = read_rows(files, _COLUMNS, title=self.title)
            items += check_ids([_item(data, task, place, row) for place, row in enumerate(rows)], files[0])
        return items

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """The released question and the task's own ending; there are no subtitles."""
        return f"{item.released}{_ENDINGS[item.task or '']}" if listing or not item.choices else item.question

    def parse(self, text: str, item: Item) -> str | None:
        """The chosen letter, by its name in the question ("Sentence B", "Option 2") or its text; or "yes" or "no"."""
        said = without_thoughts(text)
        if item.task == "yes_no":
            word = re.match(r"\W*(yes|no)\b", said.lower())
            return word.group(1) if word else None
        if item.task == "caption_matching":
            named = _named(said, _names(item))
            if named:
                return named[0] if len(named) == 1 else None
        return find_letter(said, item.choices)

    def score(self, parsed: str | None, item: Item) -> float:
        """1 for the right letter or word."""
        return float(parsed in item.answers)

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """Its rules for short answers; anything else goes to a judging model there."""
        if item.task == "yes_no":
            word = next((one for one in ("yes", "no") if text.lower().startswith(one)), None)
            return "needs a judge" if word is None else float(word in item.answers)
        if item.task == "caption_matching":
            return _caption_points(text, item)
        right = f"{item.answers[0]}. {item.choices[item.right or 0]}"
        if text == right:
            return 1.0
        start = re.match(r"([A-D])(?:[.)]|\Z)", text)
        return "needs a judge" if start is None else float(start.group(1) in item.answers)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The mean of the tasks' accuracies."""
        return {"mean of tasks": mean_of_means(scored, lambda one: one.task)}


def _item(data: Path, task: str, place: int, row: Row) -> Item:
    question = released = row.text("question")
    options: tuple[str, ...] = ()
    answer = row.text("answer").strip()
    if task == "multi-choice":
        question, options = split_options(released)
        check_options(row, "question", options)
        answer = _letter_of(row, answer, [f"{letter(i)}. {text}" for i, text in enumerate(options)])
    elif task == "caption_matching":
        captions = _captions(released)
        question = released.splitlines()[0]
        options = check_options(row, "question", tuple(text for _, text in captions))
        answer = _letter_of(row, answer, [f"{name}: {text}" for name, text in captions])
    else:
        answer = answer.lower()
        if answer not in ("yes", "no"):
            raise row.wrong("answer", "is neither yes nor no")
    path = below(data, f"videos/{row.text('video')}.mp4")
    return Item(
        id=f"{task}/{place}",
        media=name_below(data, path),
        path=path,
        kind="video",
        question=question,
        choices=options,
        answers=(answer,),
        category=row.text("category"),
        task=task,
        released=released,
    )


def _letter_of(row: Row, answer: str, written: Sequence[str]) -> str:
    if answer not in written:
        raise row.wrong("answer", "is none of the options")
    return letter(list(written).index(answer))


def _captions(released: str) -> list[tuple[str, str]]:
    matches = [_CAPTION.fullmatch(line) for line in released.splitlines()[1:]]
    return [(match.group(1), match.group(2).strip()) for match in matches if match]


def _names(item: Item) -> list[str]:
    return [name for name, _ in _captions(item.released or "")]


def _named(said: str, names: Sequence[str]) -> list[str]:
    """The letters of the options whose names are in a text, or whose number or letter is all of it."""
    plain = said.strip(" .()*").lower()
    return [
        letter(place)
        for place, name in enumerate(names)
        if re.search(rf"\b{re.escape(name.lower())}\b", plain) or plain == name.split()[-1].lower()
    ]


def _caption_points(text: str, item: Item) -> HarnessPoints:
    captions = _captions(item.released or "")
    shorts = [name.rpartition(" ")[2] for name, _ in captions]
    chosen: int | None = None
    for place, (name, caption) in enumerate(captions):
        whole = text in (f"{name}: {caption}", caption)
        after_bracket = ") " in text and text.split(") ")[1] == caption
        named = any(given in (name, shorts[place]) for given in (text, text.replace(".", "")))
        if whole or after_bracket or named:
            chosen = place
    return "needs a judge" if chosen is None else float(chosen == item.right)
