"""A model as judge of free answers, as the literature scores ActivityNet-QA since Video-ChatGPT (Maaz et al., 2024).

The judge is told the question, the right answer and the given one, and says whether they mean the same, and how well
they match from 0 to 5. Its prompt asks for the same two things as the field's, in words of our own, so that figures
are like those of the literature and not the same; the model that judges changes them more.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from himmel.evaluation.benchmarks.letters import without_thoughts

SYSTEM: Final = (
    "You check answers to questions about videos. For each question you are given the right answer and the answer of a "
    "model. Decide whether the model's answer means the same as the right one. Other words for the same thing, other "
    "grammar and more detail that does not contradict the right answer all count as the same."
)
_PROMPT: Final = (
    "Question: {}\n"
    "Right answer: {}\n"
    "Model's answer: {}\n\n"
    'Reply with one JSON object and nothing else: {{"pred": "yes" or "no", "score": 0 to 5}}. "pred" says whether the '
    'model\'s answer means the same as the right one, "score" how well they match, as a whole number, 5 for a full '
    "match."
)
_PRED: Final = re.compile(r"""["']?pred["']?\s*[:=]\s*["']?(yes|no|true|false)\b""", re.IGNORECASE)
_SCORE: Final = re.compile(r"""["']?score["']?\s*[:=]\s*["']?([0-5])(?:\.\d+)?(?!\d)""", re.IGNORECASE)
_SHOWN: Final = 200
_READ: Final = 4000


@dataclass(frozen=True)
class Verdict:
    """What a judge found.

    Attributes:
        right: whether the given answer means the same as the right one.
        score: how well they match, 0 to 5.
    """

    right: bool
    score: int


def judge_prompt(question: str, answer: str, given: str) -> str:
    """What a judge is asked, beside `SYSTEM`.

    Args:
        question: as asked.
        answer: the right one.
        given: what was answered.
    """
    # As JSON texts, so that an answer cannot be taken for a part of the prompt.
    return _PROMPT.format(*(json.dumps(text, ensure_ascii=False) for text in (question, answer, given)))


def read_verdict(reply: str) -> Verdict | None:
    """The verdict in a judge's reply, which is read as text and never run; None if there is none.

    What a model writes while it thinks aloud is passed over: it repeats there what it is asked for.
    """
    said = without_thoughts(reply)[:_READ]
    pred, score = _PRED.search(said), _SCORE.search(said)
    if pred is None or score is None:
        return None
    return Verdict(right=pred[1].lower() in ("yes", "true"), score=int(score[1]))


def no_verdict(reply: str) -> str:
    """A sentence about a reply without a verdict."""
    return f"The judge's reply {' '.join(reply.split())[:_SHOWN]!r} holds no verdict; judge by another model."
