"""From a benchmark's item to the question that is asked, and from the answer to a row."""

from dataclasses import dataclass
from typing import Any

from himmel.choices import AnswerForm, Listing, Scoring
from himmel.errors import UsageError
from himmel.evaluation.items import Benchmark, Item
from himmel.evaluation.runs.record import Evidence, Row
from himmel.evaluation.subtitles import subtitles_for
from himmel.methods.answer import Answer
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING, Question


@dataclass(frozen=True, kw_only=True)
class Posing:
    """How items are asked.

    Attributes:
        scoring, listing, answer_form: see `Question`. With letters as answers, the prompt is the benchmark's own.
        generate: let the model write its answer, in the benchmark's own words, and read the answer out of that; items
            without choices are always asked so.
        subtitles: put what is said before the question, where there is a file of subtitles.
        max_new_tokens: where a written answer is cut; None takes the benchmark's.
        seed: see `Session.ask`.

    Raises:
        UsageError: the ways don't go together.
    """

    scoring: Scoring | None = None
    listing: Listing = DEFAULT_LISTING
    answer_form: AnswerForm = DEFAULT_ANSWER_FORM
    generate: bool = False
    subtitles: bool = False
    max_new_tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        # What cannot be asked of any item is found out before the first.
        Question("?", (), self.scoring, self.listing, self.answer_form)

    def check(self, benchmark: Benchmark) -> None:
        """See that the benchmark can be asked so.

        Raises:
            UsageError: it has no subtitles.
        """
        if self.subtitles and not benchmark.has_subtitles:
            raise UsageError(f"{benchmark.title} comes without subtitles; ask with --no-subtitles.")

    def scores(self, item: Item) -> bool:
        """Whether the item's choices are scored, not a written answer read."""
        return bool(item.choices) and not self.generate

    def pose(self, benchmark: Benchmark, item: Item) -> Question:
        """The question that the model is asked.

        Raises:
            UsageError: choices are empty or equal, so that none can be told from another.
            HimmelError: the subtitles cannot be read.
        """
        spoken = subtitles_for(item) if self.subtitles else None
        if not self.scores(item):
            return Question(benchmark.prompt(item, subtitles=spoken))
        if self.answer_form == "letter":
            return Question(benchmark.prompt(item, subtitles=spoken), item.letters, self.scoring, "none", "text")
        asked = benchmark.prompt(item, subtitles=spoken, listing=False)
        return Question(asked, item.choices, self.scoring, self.listing, self.answer_form)

    def judge(self, benchmark: Benchmark, item: Item, answer: Answer, *, ahead: float | None) -> Row:
        """The row of an answer.

        Args:
            benchmark: reads and scores what was written.
            item: what was asked.
            answer: by the model.
            ahead: seconds in which the video was read for this item before it was asked about; None where it was not.
        """
        scores, harness = None, None
        given = answer.text
        parsed: str | None
        if self.scores(item):
            scores = tuple(choice.score for choice in answer.choices)
            chosen = scores.index(max(scores))
            given, parsed = item.choices[chosen], item.letters[chosen]
        else:
            parsed = benchmark.parse(given, item)
            found = benchmark.harness_points(given, item)
            harness = found if isinstance(found, float) else None
        points = benchmark.score(parsed, item)
        return Row(
            **_identity(item),
            given=given,
            parsed=parsed,
            scores=scores,
            right=points >= 1,
            points=points,
            harness_points=harness,
            record=_evidence(answer, ahead),
        )

    def fail(self, item: Item, reason: str) -> Row:
        """The row of an item that could not be asked: wrong."""
        return Row(**_identity(item), right=False, points=0.0, error=reason)


def _identity(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "media": item.media,
        "media_kind": item.kind,
        "cluster": item.cluster,
        "category": item.category,
        "task": item.task,
        "duration": item.duration,
        "duration_group": item.duration_group,
        "question": item.question,
        "choices": item.choices,
        "answer": item.answers,
    }


def _evidence(answer: Answer, ahead: float | None) -> Evidence:
    read = answer.video
    seconds = {**({} if ahead is None else {"read_ahead": ahead}), **answer.seconds}
    return Evidence(
        video_sha256=read.sha256,
        frames=tuple(one.frame for one in read.anchors),
        times=tuple(one.time for one in read.anchors),
        backend=None if read.backend == "none" else read.backend,
        pixels=(read.anchor_width, read.anchor_height),
        prompt_sha256=answer.prompt_sha256,
        tokens=answer.tokens,
        removed=answer.removed,
        seed=answer.seed,
        seconds={**seconds, "first_token": answer.first_token + (ahead or 0.0)},
        peak_memory=answer.peak_memory,
    )
