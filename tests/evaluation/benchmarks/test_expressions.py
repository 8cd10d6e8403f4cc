r"""Mathematical answers: out of a text, their values, and whether two are the same."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.evaluation.benchmarks.expressions import final_answer, last_boxed, numbers, same_value, value


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So \boxed{12}.", "12"),
        (r"First \boxed{1}, then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{12", r"\boxed{12"),
        ("We add. The answer is 14. Done.", "14"),
        ("The final answer is: 3.5\nbecause", "3.5"),
        ("42.", "42"),
        ("<think>the answer is 1</think>2", "2"),
        ("", ""),
    ],
)
def test_final_answer(text: str, answer: str) -> None:
    assert final_answer(text) == answer


def test_braces_in_a_box_may_be_nested() -> None:
    assert last_boxed(r"\boxed{\sqrt{\frac{a}{b}} + {c}} and so on") == r"\sqrt{\frac{a}{b}} + {c}"


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("3", 3.0),
        ("-3.25", -3.25),
        ("1/4", 0.25),
        (r"\frac{1}{4}", 0.25),
        (r"\dfrac12", 0.5),
        (r"-\frac{3}{2}", -1.5),
        ("2+3*4", 14.0),
        ("(2+3)*4", 20.0),
        ("2^{10}", 1024.0),
        ("2^-1", 0.5),
        (r"2\sqrt{2}", 2 * math.sqrt(2)),
        (r"\sqrt2", math.sqrt(2)),
        (r"3\pi", 3 * math.pi),
        (r"6 \div 4", 1.5),
        (r"\frac{\sqrt{3}}{2}", math.sqrt(3) / 2),
    ],
)
def test_value(expression: str, result: float) -> None:
    assert value(expression) == pytest.approx(result)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "x",
        "1+",
        "(1",
        "1)",
        "1/0",
        r"\sqrt{-1}",
        "9^9^9^9^9",
        "9^(9^(9^9))",
        "__import__('os')",
        "(" * 400,
        r"\frac{1}",
    ],
)
def test_what_has_no_value(expression: str) -> None:
    assert value(expression) is None


@pytest.mark.parametrize(
    ("given_answer", "right"),
    [
        ("12", "12"),
        ("12.0", "12"),
        (r"\frac{1}{2}", "0.5"),
        ("0.333", r"\frac{1}{3}"),
        ("x = 5", "5"),
        (r"60^{\circ}", "60"),
        ("12 km", "12"),
        (r"30\%", "30"),
        ("(B)", "b"),
        ("1,000", "1000"),
        ("1{,}234{,}567.5", "1234567.5"),
        ("(1, 2)", "(1.0,2)"),
        (r"\text{red}", "red"),
    ],
)
def test_the_same_value(given_answer: str, right: str) -> None:
    assert same_value(given_answer, right)


@pytest.mark.parametrize(
    ("given_answer", "right"),
    [("12", "13"), ("", "1"), ("1", ""), ("(1,2)", "(1,2,3)"), ("red", "blue"), ("0.34", "1/3"), ("1,20", "120")],
)
def test_another_value(given_answer: str, right: str) -> None:
    assert not same_value(given_answer, right)


def test_numbers_in_a_text() -> None:
    assert numbers("From 1,234.5 to -7, or 2007-2008; x2, 3e4 and v1.2.") == ["1234.5", "-7", "2007", "2008", "3e4"]


HOSTILE = st.text("0123456789+-*/^(){}\\fracsqtpi.,=[] ", max_size=80)


@given(HOSTILE, HOSTILE)
def test_any_text_has_a_finite_value_or_none(one: str, other: str) -> None:
    found = value(one)
    assert found is None or math.isfinite(found)
    assert same_value(one, other) in (True, False)
    assert isinstance(final_answer(one), str)


@given(st.fractions(min_value=-1000, max_value=1000, max_denominator=99))
def test_a_fraction_has_its_value_however_it_is_written(fraction: object) -> None:
    numerator, denominator = fraction.numerator, fraction.denominator
    sign = "-" if numerator < 0 else ""
    assert value(f"{numerator}/{denominator}") == pytest.approx(float(fraction))
    assert value(rf"{sign}\frac{{{abs(numerator)}}}{{{denominator}}}") == pytest.approx(float(fraction))
