"""Whatever a model writes: every benchmark reads it or finds no answer in it, and gives 0 to 1 points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.choices import BenchmarkName
from himmel.evaluation.benchmarks import BENCHMARK_NAMES, benchmark
from himmel.evaluation.items import Item

CAPTIONS = "Which fits?\nSentence A: It rises.\nSentence B: It falls."
CHOICE = Item(
    "1", "a", None, "video", "What?", ("It rises.", "It falls."), ("B",), task="caption_matching", released=CAPTIONS
)
YES = Item("2", "a", None, "video", "Is it?", (), ("yes",), task="yes_no", released="Is it?")
NUMBERS = (
    Item("3", "a", None, "image", "How many?", (), ("14",), answer_type="integer"),
    Item("4", "a", None, "image", "How much?", (), ("1.25",), answer_type="float", precision=2),
    Item("5", "a", None, "image", "Between?", (), ("[1, 2]",), answer_type="list"),
)
FREE = {
    "activitynet_qa": (YES,),
    "tempcompass": (YES,),
    **dict.fromkeys(("mathvista", "mathvision", "ocrbench", "realworldqa", "file"), (YES, *NUMBERS)),
}
WORDS = (
    "A", "(B)", "C.", "answer is", "The answer is", "Sentence B", "yes", "\\boxed{", "}", "{", "[", "]", "14", "1.25",
    "-", ",", "\\frac", "1e400", "\n", "</think>", "\x00", "\ud800", "It falls.", "😀", "a",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join) | st.text(max_size=100)


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
@given(text=TEXTS)
def test_any_text_gets_points(name: BenchmarkName, text: str) -> None:
    one = benchmark(name)
    for item in (CHOICE, *FREE.get(name, ())):
        parsed = one.parse(text, item)
        assert parsed is None or parsed
        assert 0 <= one.score(parsed, item) <= 1
        points = one.harness_points(text, item)
        assert points in ("left out", "needs a judge") or 0 <= points <= 1


@pytest.mark.parametrize("name", BENCHMARK_NAMES)
def test_no_answer_gets_no_points(name: BenchmarkName) -> None:
    for item in (CHOICE, *FREE.get(name, ())):
        assert benchmark(name).score(None, item) == 0.0


@pytest.mark.parametrize("name", sorted(set(BENCHMARK_NAMES) - {"ocrbench", "activitynet_qa"}))
def test_the_right_letter_gets_all_points(name: BenchmarkName) -> None:
    one = benchmark(name)
    assert one.score(one.parse("B", CHOICE), CHOICE) == 1.0
    assert one.score(one.parse("A", CHOICE), CHOICE) == 0.0
