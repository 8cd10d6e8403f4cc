"""lmms-eval's ways to read an option. Expected values come from its own code, release 0.7.3, run on the same texts."""

import pytest

from himmel.evaluation.benchmarks import harness

CHOICES = ("upward", "downward", "a red car", "Bananas")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("The answer is (B).", "B"),
        ("A. is wrong, so D", "A"),
        ("A man walks", "A"),
        ("Cannot tell", "C"),
        ("I Don't know", "D"),
        ("the best option is right: C or B", "B"),
        ("E", ""),
        ("", ""),
    ],
)
def test_ranked_letter(text: str, letter: str) -> None:
    assert harness.ranked_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [("B. up", "B"), ("b", "B"), ("It is a dog", "A"), ("(E) x", "E"), ("The Ball", "the ball"), ("1,000 C", "C")],
)
def test_mvbench_letter(text: str, letter: str) -> None:
    assert harness.mvbench_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"), [("The best answer is E", "E"), ("Bananas", "B"), ("none of these", None), ("D. A book", "D")]
)
def test_longvideobench_letter(text: str, letter: str | None) -> None:
    assert harness.longvideobench_letter(text) == letter


@pytest.mark.parametrize(("text", "letter"), [("It is B, not C", "B"), ("Bananas", ""), ("b", "")])
def test_perception_test_letter(text: str, letter: str) -> None:
    assert harness.perception_test_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [("Answer: f", "F"), ("I think</think> b", "B"), ("a dog, so B", "A"), ("xyzE.", "E"), ("xyz", "")],
)
def test_motionbench_letter(text: str, letter: str) -> None:
    assert harness.motionbench_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B.", "B"),
        ("(C) or (B)", "B"),
        ("C or B", "B"),
        ("no idea", "A"),
        ("it surely is moving downward in this video", "B"),
    ],
)
def test_tomato_letter(text: str, letter: str) -> None:
    assert harness.tomato_letter(text, CHOICES) == letter
