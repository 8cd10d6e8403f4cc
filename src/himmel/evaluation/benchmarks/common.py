"""What several benchmarks share: letters as answers, means, and how subtitles go before a question."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from himmel.evaluation.benchmarks.letters import NUMBER, find_letter
from himmel.evaluation.benchmarks.tables import Row
from himmel.evaluation.items import Item, Scored, letter

ANSWER_WITH_LETTER: Final = "Answer with the option's letter from the given choices directly."

_NUMBERS: Final = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10",
}  # fmt: skip
_WORDS: Final = re.compile(rf"{NUMBER}|[\w']+")
_ARTICLES: Final = frozenset(("a", "an", "the"))


class Lettered:
    """Answers are letters of an item's choices; the figure is the share of right ones."""

    def parse(self, text: str, item: Item) -> str | None:
        """The letter of the chosen option (`find_letter`)."""
        return find_letter(text, item.choices)

    def score(self, parsed: str | None, item: Item) -> float:
        """1 for the right letter, else 0."""
        return float(parsed in item.answers)

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The share of right answers."""
        return {"accuracy": mean(scored)}


def mean(scored: Sequence[Scored]) -> float:
    """Mean points of some answers, 0..1.

    Raises:
        ValueError: there are none.
    """
    if not scored:
        raise ValueError("A mean needs at least one answer; there is none.")
    return sum(one.points for one in scored) / len(scored)


def mean_of_means(scored: Sequence[Scored], key: Callable[[Scored], str | None]) -> float:
    """The mean of groups' means, every group counting the same."""
    groups: dict[str | None, list[Scored]] = defaultdict(list)
    for one in scored:
        groups[key(one)].append(one)
    return sum(mean(group) for group in groups.values()) / len(groups)


def after_subtitles(subtitles: str | None, prompt: str) -> str:
    """The prompt with the subtitles before it, in the words of Video-MME's authors; unchanged for None."""
    if subtitles is None:
        return prompt
    return f"This video's subtitles are listed below: \n{subtitles or 'No subtitles available'}\n{prompt}"


def letter_of_text(row: Row, column: str, choices: Sequence[str]) -> str:
    """The letter of the choice that a column gives as a text; of several equal ones the first.

    Raises:
        HimmelError: it is none of the choices.
    """
    answer = row.text(column)
    if answer not in choices:
        raise row.wrong(column, "is none of the options")
    return letter(list(choices).index(answer))


def letter_in(row: Row, column: str, number: int) -> str:
    """A letter of one of `number` choices.

    Raises:
        HimmelError: it is something else.
    """
    given = row.text(column).strip().strip("().").upper()
    if len(given) != 1 or not 0 <= ord(given) - ord("A") < number:
        raise row.wrong(column, f"is no letter of {number} options")
    return given


def options_of(row: Row, column: str, *, least: int = 2, most: int = 26) -> tuple[str, ...]:
    """A list of options.

    Raises:
        HimmelError: there are too few or too many.
    """
    return check_options(row, column, row.texts(column), least=least, most=most)


def check_options(
    row: Row, column: str, options: tuple[str, ...], *, least: int = 2, most: int = 26
) -> tuple[str, ...]:
    """The options again.

    Raises:
        HimmelError: there are too few or too many.
    """
    if not least <= len(options) <= most:
        raise row.wrong(column, f"has {len(options)} options, not {least} to {most}")
    return options


def normalised(text: str) -> str:
    """Small letters, no articles, no punctuation but inside numbers, numbers to ten as digits, single blanks."""
    words = _WORDS.findall(text.casefold().replace("\u2212", "-"))
    return " ".join(_NUMBERS.get(word, word) for word in words if word not in _ARTICLES)
