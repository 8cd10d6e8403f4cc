"""Which option a text chooses."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.evaluation.benchmarks.letters import find_letter, split_options

CHOICES = ("moves up", "moves down", "a red car", "vitamin C")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" (b) ", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("B. moves down", "B"),
        ("B\n\nBecause it falls.", "B"),
        ("Answer: B", "B"),
        ("**Answer**: **B**", "B"),
        ("The best answer is: (B)", "B"),
        ("the answer is b", "B"),
        ("The correct option is B because A is wrong.", "B"),
        ("The answer is A because it rises.", "A"),
        ("Option D", "D"),
        ("It could be (A) or (C), so I choose (C).", "C"),
        ("A is wrong, B is wrong. The answer is C.", "C"),
        ("I think it is B", "B"),
        ("A and C are wrong, so it must be B", "B"),
        ("<think>A or B? The answer is A.</think>D", "D"),
        ("\\boxed{B}", "B"),
        ("答案是B", "B"),
        ("moves down", "B"),
        ("The object moves down.", "B"),
        ("A red car.", "C"),
        ("Vitamin C.", "D"),
    ],
)
def test_a_choice_is_found(text: str, letter: str) -> None:
    assert find_letter(text, CHOICES) == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "I cannot tell.",
        "Cannot be determined",
        "A man walks by.",
        "I see a dog.",
        "Don't know",
        "E",
        "(E)",
        "The answer is E.",
        "It moves up, then moves down.",
        "</think>",
        "1. 2. 3.",
        "A or B",
        "The answer is either (A) or (C).",
        "Both option A and option B",
        "👍",
    ],
)
def test_what_chooses_nothing_is_no_answer(text: str) -> None:
    assert find_letter(text, CHOICES) is None


@pytest.mark.parametrize(
    ("text", "choices", "letter"),
    [
        ("2", ("-2", "3"), None),
        ("-2", ("2", "-2"), "B"),
        ("\u22122.", ("2", "-2"), "B"),
        ("x = 2", ("x = -2", "x = 3"), None),
        ("The value is -5.", ("-5", "5", "10"), "A"),
        ("It is 10 degrees.", ("-10 degrees", "10 degrees"), "B"),
        ("1/2", ("1.2", "1/2"), "B"),
        ("3.5 m", ("3, 5 m", "3.5 m"), "B"),
        ("2-3", ("2 - 3", "4"), "A"),
    ],
)
def test_numbers_are_the_same_with_their_sign_and_fraction_alone(
    text: str, choices: tuple[str, ...], letter: str | None
) -> None:
    assert find_letter(text, choices) == letter


def test_letters_go_as_far_as_the_choices() -> None:
    many = tuple(f"option {number}" for number in range(7))
    assert find_letter("(F)", many) == "F"
    assert find_letter("The answer is G.", many) == "G"
    assert find_letter("H", many) is None


def test_the_longer_of_two_texts_was_meant() -> None:
    assert find_letter("in the bottom left corner", ("left", "bottom left", "right")) == "B"


def test_a_long_text_is_read_at_its_ends() -> None:
    assert find_letter("blah " * 100_000 + "The answer is C", CHOICES) == "C"


PARTS = (
    "A",
    "B",
    "(C)",
    "D.",
    "E",
    "answer is",
    "option",
    ":",
    "(",
    ")",
    "**",
    "\n",
    " ",
    "a",
    "vitamin C",
    "</think>",
)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map(" ".join) | st.text(max_size=200), st.integers(1, 26))
def test_any_text_gives_a_letter_of_the_choices_or_none(text: str, number: int) -> None:
    found = find_letter(text, tuple(f"text {index}" for index in range(number)))
    assert found is None or re.fullmatch(f"[A-{chr(ord('A') + number - 1)}]", found)


@given(st.integers(0, 25), st.sampled_from(("{}", "({})", "{}.", "{}. whatever", "Answer: {}", "The answer is {}.")))
def test_a_plain_answer_is_always_found(index: int, form: str) -> None:
    letter = chr(ord("A") + index)
    assert find_letter(form.format(letter), ("x y z",) * 26) == letter


def test_options_inside_a_question_are_taken_out() -> None:
    released = "What happens?\nOptions:\n(A) It falls\n(B) It rises\nand stops\n(C) Nothing"
    assert split_options(released) == ("What happens?", ("It falls", "It rises\nand stops", "Nothing"))
    assert split_options("Which?\nA. one\nB) two\nC: three") == ("Which?", ("one", "two", "three"))


def test_a_question_without_options_stays_as_it_is() -> None:
    assert split_options("Who is (B) here?\nTell me.") == ("Who is (B) here?\nTell me.", ())
