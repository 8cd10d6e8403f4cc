"""Which option a model chose, from what it wrote; and options that are written inside a question."""

import re
from collections.abc import Sequence
from typing import Final

# What follows the thoughts of models that think aloud is the answer.
_THOUGHTS_END: Final = "</think>"
# An answer is at the beginning or at the end of a long text.
_LONGEST: Final = 20_000

_PHRASE: Final = re.compile(
    r"\b(?:answer|option|choice)(?:\s+is|\s+would\s+be|\s+should\s+be)?\s*[:=]?\s*[*_\"'`]*"
    r"(?:option\s+|choice\s+)?[*_\"'`]*(?:\(\s*([A-Za-z])\s*\)|([A-Z])(?![A-Za-z0-9'\u2019]))",
    re.IGNORECASE,
)
_ALONE: Final = re.compile(r"[\s\W_]*([A-Za-z])[\s\W_]*")
_START: Final = re.compile(r"[\s*_\"'`]*(?:\(\s*([A-Za-z])\s*\)|([A-Z])\s*[.):,\n])")
_BRACKETED: Final = re.compile(r"\(\s*([A-Za-z])\s*\)")
_MARKED: Final = re.compile(r"(?<![A-Za-z0-9'\u2019.])([A-Z])(?:[.:](?!\w)|\))")
_STANDING: Final = re.compile(r"(?<![A-Za-z0-9'\u2019])([A-Z])(?![A-Za-z0-9'\u2019])")
# "A man" and "I see" have no letter of an option in them; "A because" has.
_WORD: Final = re.compile(r"[AIai]\s+(?!(?:and|as|based|because|due|for|from|is|since|which|with)\b)[a-z]")
# "A or B" and "both (A) and (C)" choose neither.
_BETWEEN: Final = re.compile(
    r"(?<![A-Za-z0-9])\(?([A-Z])\)?\s*(?:\bor\b|\band\b|/|&)\s*(?:[a-z]+\s+)?\(?([A-Z])\)?(?![A-Za-z0-9])",
    re.IGNORECASE,
)

NUMBER: Final = r"(?<!\w)[-\u2212]?\d+(?:[.,/:^]\d+)*(?!\w)"
"""A number with its sign and what is between its digits, as one word: -2 is not 2, and 1/2 is not 1.2."""
_WORDS: Final = re.compile(rf"{NUMBER}|\w+")

_OPTION_LINE: Final = re.compile(r"\s*\(?([A-Z])[.):]\)?\s*(.*)")


def find_letter(text: str, choices: Sequence[str]) -> str | None:
    """The letter of the chosen option, or None where the text does not choose one of them.

    In this order: a letter alone; the text of one option alone; the last letter after "answer is", "option" and the
    like; one at the start, as in "B. text" or "(b) text"; the last one in brackets; the last one before a full stop, a
    colon or a bracket; one at the end; the only capital letter that is no word; the text of exactly one option
    somewhere. A letter inside a word is no answer; neither are the words "A" and "I", nor "A or B".

    Args:
        text: what the model wrote.
        choices: the options' texts; there are as many letters.
    """
    letters = [chr(ord("A") + index) for index in range(len(choices))]
    said = _bounded(text)
    alone = _ALONE.fullmatch(said)
    if alone:
        return _one_of(alone.group(1), letters)
    texts = [_plain(choice) for choice in choices]
    if texts.count(_plain(said)) == 1:
        return letters[texts.index(_plain(said))]
    whole, said = said, _BETWEEN.sub(" ", said)
    phrases = [match for match in _PHRASE.finditer(said) if not _WORD.match(said, match.end() - 1)]
    for candidates in (
        [_group(match) for match in phrases],
        [_group(match) for match in [_START.match(said)] if match],
        [_group(match) for match in _BRACKETED.finditer(said)],
        [_group(match) for match in _MARKED.finditer(said)],
    ):
        known = [letter for letter in candidates if letter in letters]
        if known:
            return known[-1]
    standing = [
        (match.group(1), match.end() == len(said.rstrip(" \n.!*")))
        for match in _STANDING.finditer(said)
        if match.group(1) in letters and not _WORD.match(said, match.start(1))
    ]
    if standing and (standing[-1][1] or len({letter for letter, _ in standing}) == 1):
        return standing[-1][0]
    return _by_text(whole, texts, letters)


def split_options(question: str) -> tuple[str, tuple[str, ...]]:
    """The question without its options, and the options' texts: lines that begin with "A.", "(A)" or the like.

    Lines that follow an option without a letter of their own belong to it. A heading such as "Options:" is dropped.
    """
    lines = question.splitlines()
    stem: list[str] = []
    options: list[str] = []
    for line in lines:
        match = _OPTION_LINE.fullmatch(line)
        if match and match.group(1) == chr(ord("A") + len(options)):
            options.append(match.group(2).strip())
        elif options:
            options[-1] = f"{options[-1]}\n{line}".strip()
        else:
            stem.append(line)
    while stem and stem[-1].strip().lower().rstrip(":") in ("", "options", "option", "choices"):
        stem.pop()
    return "\n".join(stem).strip(), tuple(options)


def listed(choices: Sequence[str], form: str = "{letter}. {text}") -> str:
    """The options, one a line."""
    return "\n".join(form.format(letter=chr(ord("A") + index), text=text) for index, text in enumerate(choices))


def without_thoughts(text: str) -> str:
    """What a model wrote after it thought aloud."""
    return text.rpartition(_THOUGHTS_END)[2].strip()


def _bounded(text: str) -> str:
    said = without_thoughts(text)
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST // 2]}\n{said[-_LONGEST // 2 :]}"


def _group(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group).upper()


def _one_of(letter: str, letters: Sequence[str]) -> str | None:
    return letter.upper() if letter.upper() in letters else None


def _by_text(said: str, texts: Sequence[str], letters: Sequence[str]) -> str | None:
    padded = f" {_plain(said)} "
    found = [text for text in texts if text and f" {text} " in padded]
    # Of "left" and "bottom left" the longer one was meant.
    longest = [one for one in found if not any(one != other and f" {one} " in f" {other} " for other in found)]
    return letters[texts.index(longest[0])] if len(longest) == 1 else None


def _plain(text: str) -> str:
    return " ".join(_WORDS.findall(text.casefold())).replace("\u2212", "-")
