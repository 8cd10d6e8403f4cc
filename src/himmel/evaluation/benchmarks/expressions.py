r"""Answers to mathematical questions: out of a text, in one form, and equal to another.

MathVision's scorer (Wang et al., arXiv:2402.14804) compares texts, and values to two decimals; it computes values with
Python's `eval`. What a model writes is never run here: values come from a small parser of numbers, + - * / ^, \frac,
\sqrt, \pi and brackets.
"""

import math
import re
from collections.abc import Sequence
from typing import Final

from himmel.evaluation.benchmarks.letters import without_thoughts

# No answer is longer, nor nested deeper.
_LONGEST: Final = 500
_DEEPEST: Final = 20
_TOKEN: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+|\\[A-Za-z]+|[-+*/^(){}])")
_FLAGS: Final = ("the final answer is", "the correct answer is", "the answer is", "the answer should be")
_NUMBER: Final = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?![\w])")
# Commas between thousands, which the scorer's parser passes over.
_THOUSANDS: Final = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])")
# Layout, units and quantities that the scorer drops from both sides.
_DROPPED: Final = (
    "{,}", r"\left", r"\right", r"\text", r"\mathrm", r"\mbox", r"\!", r"\,", r"\;", r"\ ", "^{\\circ}", r"^\circ", "°",
    r"\$", "$", r"\%", "%", "{m}^3", "m^3", "{units}", "units", "{km}", "km",
)  # fmt: skip


def final_answer(text: str) -> str:
    """The part of a solution that is its answer (`marked_answer`); all of it where none is marked."""
    marked = marked_answer(text)
    return without_thoughts(text).rstrip(" .") if marked is None else marked


def marked_answer(text: str) -> str | None:
    r"""What is in the last \boxed{...}, else what follows the last "the answer is" and the like; None without them."""
    said = without_thoughts(text)
    boxed = last_boxed(said)
    if boxed is not None:
        return boxed
    lowered = said.lower()
    place, flag = max((lowered.rfind(flag), flag) for flag in _FLAGS)
    if place < 0:
        return None
    rest = said[place + len(flag) :].lstrip(" :\n*")
    return rest.split("\n")[0].split(". ")[0].rstrip(" .*")


def last_boxed(text: str) -> str | None:
    r"""What is in the last \boxed{...}, whose braces may be nested; None without one that is closed."""
    start = text.rfind("boxed{")
    if start < 0:
        return None
    start += len("boxed{")
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place].strip()
    return None


def same_value(given: str, right: str) -> bool:
    """Whether two answers are the same: as texts without layout and units, or as values to two decimals."""
    one, other = _plain(given), _plain(right)
    if not one or not other:
        return False
    if one == other:
        return True
    parts, others = _parts(one), _parts(other)
    if parts is not None and others is not None:
        return len(parts) == len(others) and all(map(same_value, parts, others))
    first, second = value(one), value(other)
    return first is not None and second is not None and round(first, 2) == round(second, 2)


def value(expression: str) -> float | None:
    r"""The value of an expression, such as `\frac{1}{2}`, `3\pi` or `2^{10}`; None if it is none, or not finite."""
    if len(expression) > _LONGEST:
        return None
    plain = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), expression)
    tokens = _tokens(plain.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac"))
    if tokens is None:
        return None
    try:
        parser = _Parser(tokens)
        result = parser.sum(0)
    except (ValueError, ArithmeticError):
        return None
    return result if parser.done and math.isfinite(result) else None


def numbers(text: str) -> list[str]:
    """The numbers in a text, in order, without commas between thousands."""
    found = (match.group().replace(",", "") for match in _NUMBER.finditer(text[-20_000:]))
    return [one for one in found if any(letter.isdigit() for letter in one)]


def _plain(answer: str) -> str:
    plain = answer[:_LONGEST].casefold().replace("∞", r"\infty").replace(r"\\", "\\")
    for name in _DROPPED:
        plain = plain.replace(name, "")
    plain = re.sub(r"\s+", "", plain).rstrip(".").lstrip(":")
    plain = re.split(r"=|\\approx", plain)[-1]
    # "(b)" is the option b, and braces around all of it mean nothing.
    return re.sub(r"^(?:\(([a-z])\)|\{([^{}]*)\})$", r"\1\2", plain)


def _parts(plain: str) -> list[str] | None:
    """The members of "(1,2)" or "[1,2]"; None if it is neither."""
    if len(plain) > 2 and plain[0] + plain[-1] in ("()", "[]") and "," in plain:
        return plain[1:-1].split(",")
    return None


def _tokens(expression: str) -> Sequence[str] | None:
    tokens = []
    place = 0
    text = expression.strip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        tokens.append(match.group(1))
        place = match.end()
    return tokens


class _Parser:
    """Recursive descent; every method raises ValueError where the expression is none."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def done(self) -> bool:
        return self._place == len(self._tokens)

    def sum(self, depth: int) -> float:
        result = self._product(depth)
        while self._next() in ("+", "-"):
            sign = 1 if self._take() == "+" else -1
            result += sign * self._product(depth)
        return result

    def _product(self, depth: int) -> float:
        result = self._signed(depth)
        while not self.done and self._next() not in ("+", "-", ")", "}"):
            operator = self._take() if self._next() in ("*", "/", r"\times", r"\cdot", r"\div") else "*"
            factor = self._signed(depth)
            result = result / factor if operator in ("/", r"\div") else result * factor
        return result

    def _signed(self, depth: int) -> float:
        if self._next() in ("+", "-"):
            return (1 if self._take() == "+" else -1) * self._power(depth)
        return self._power(depth)

    def _power(self, depth: int) -> float:
        base = self._atom(depth)
        if self._next() != "^":
            return base
        self._take()
        return math.pow(base, self._atom(depth, one_digit=True))

    def _atom(self, depth: int, *, one_digit: bool = False) -> float:
        if depth > _DEEPEST or self.done:
            raise ValueError
        token = self._take()
        if token in ("(", "{"):
            result = self.sum(depth + 1)
            if self._take() != {"(": ")", "{": "}"}[token]:
                raise ValueError
            return result
        if token == r"\frac":
            return self._atom(depth + 1, one_digit=True) / self._atom(depth + 1, one_digit=True)
        if token == r"\sqrt":
            return math.sqrt(self._atom(depth + 1, one_digit=True))
        if token == r"\pi":
            return math.pi
        if token == "-" and one_digit:
            return -self._atom(depth + 1)
        if one_digit and token.isdigit() and len(token) > 1:
            # In TeX, \frac12 is a half: without braces an argument is one digit.
            self._tokens = [*self._tokens[: self._place], token[1:], *self._tokens[self._place :]]
            return float(token[0])
        return float(token)

    def _next(self) -> str | None:
        return None if self.done else self._tokens[self._place]

    def _take(self) -> str:
        if self.done:
            raise ValueError
        self._place += 1
        return self._tokens[self._place - 1]
