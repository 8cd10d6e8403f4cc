"""MathVision, or MATH-V (Wang et al., arXiv:2402.14804): competition problems with pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from himmel.evaluation.benchmarks.common import ANSWER_WITH_LETTER, letter_in, mean, options_of
from himmel.evaluation.benchmarks.expressions import final_answer, same_value
from himmel.evaluation.benchmarks.letters import find_letter, listed
from himmel.evaluation.benchmarks.media import name_below
from himmel.evaluation.benchmarks.tables import Row, find_annotations, picture_of, read_rows
from himmel.evaluation.items import HarnessPoints, Item, Scored, check_ids, check_split

_COLUMNS: Final = {
    "id": ("id",),
    "question": ("question",),
    "options": ("options",),
    "answer": ("answer",),
    "picture": ("decoded_image", "image"),
    "subject": ("subject",),
    "level": ("level",),
}


@dataclass(frozen=True)
class MathVision:
    """MathVision, scored by rules: the letter, or the same value as the right answer."""

    name: ClassVar[str] = "mathvision"
    title: ClassVar[str] = "MathVision"
    splits: ClassVar[tuple[str, ...]] = ("test", "testmini")
    has_subtitles: ClassVar[bool] = False
    max_new_tokens: ClassVar[int] = 2048

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """Items with their pictures; annotations are `data/test-*.parquet` or `test.jsonl` beside `images/`."""
        split = check_split(self, split)
        patterns = (f"**/{split}-*.parquet", f"{split}.jsonl", f"{split}.json", f"**/{split}.parquet")
        files = find_annotations(data, patterns, title=self.title)
        rows = read_rows(files, _COLUMNS, title=self.title, optional=("subject", "level"))
        return check_ids([_item(data, row) for row in rows], files[0])

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """See `Benchmark.prompt`; there are no subtitles. lmms-eval puts no blank before the question, and so do we."""
        task = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'
        if not listing or not item.choices:
            return f"{task}{item.question}"
        ending = f"Answer the question with{ANSWER_WITH_LETTER.removeprefix('Answer with')}"
        return f"{task}{item.question}\nChoices: {listed(item.choices)}\n{ending}"

    def parse(self, text: str, item: Item) -> str | None:
        r"""The letter or the expression in \boxed{}, else after "the answer is", else the text itself."""
        answer = final_answer(text)
        if not item.choices:
            return answer or None
        equal = [one for one, choice in zip(item.letters, item.choices, strict=True) if same_value(answer, choice)]
        found = equal[0] if len(equal) == 1 else None
        return find_letter(answer, item.choices) or found or find_letter(text, item.choices)

    def score(self, parsed: str | None, item: Item) -> float:
        """1 for the right letter, or for the same value (`same_value`)."""
        if parsed is None:
            return 0.0
        if item.choices:
            return float(parsed in item.answers)
        return float(any(same_value(parsed, answer) for answer in item.answers))

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """Its rules compute values with sympy and `eval`, which we don't repeat; its other task asks a model."""
        return "needs a judge"

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The share of right answers."""
        return {"accuracy": mean(scored)}


def _item(data: Path, row: Row) -> Item:
    options = row.texts("options")
    if options:
        options = options_of(row, "options")
    picture, path = picture_of(row, "picture", data)
    return Item(
        id=row.text("id"),
        media=f"{name_below(data, row.file)}#{row.number}" if path is None else name_below(data, path),
        path=path,
        kind="image",
        question=row.text("question"),
        choices=options,
        answers=(letter_in(row, "answer", len(options)) if options else row.text("answer"),),
        picture=picture,
        category=row.maybe("subject"),
        task=row.maybe("level"),
    )
