"""Several methods on the same questions: a run each, compared, within one limit on spending."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from himmel.errors import UsageError
from himmel.evaluation.api.money import Prices
from himmel.evaluation.api.run import ApiAsker
from himmel.evaluation.api.settings import ApiSettings, find_key
from himmel.evaluation.api.study import study_by_api
from himmel.evaluation.benchmarks import benchmark
from himmel.evaluation.runs.record import load_run
from himmel.evaluation.study import Asking, Study, choose_methods
from mock_api import Asked, MockApi, Reply, completion, in_turn, mock_api, refusal


@pytest.fixture
def asking(tmp_path: Path, encode_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Asking:
    """Three questions about one clip, of which "left" is the right answer."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    data = tmp_path / "data"
    data.mkdir()
    encode_clip(data / "a.mp4", num_frames=32, options={"g": "8"})
    rows = [
        {"id": str(k), "video": "a.mp4", "question": f"Which way, {k}?", "choices": ["left", "right"], "answer": "left"}
        for k in range(3)
    ]
    (data / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = benchmark("file")
    return Asking(found, found.load(data), "questions.jsonl", data, tmp_path / "runs")


def study(served: MockApi, asking: Asking, conditions: list[str], names: tuple[str, ...] = (), **options: Any) -> Study:
    methods = choose_methods(conditions, names)
    settings = ApiSettings(url=served.url, model="mock", retries=0, max_new_tokens=100)
    first = next(iter(methods.values()))
    asker = ApiAsker(settings=settings, key=find_key(served.url), method=first, at_once=1, **options)
    return study_by_api(asking, methods, asker)


def kinds(asked: Asked) -> str:
    """What the lines before the pictures call them: M for a motion map, R for a residual map."""
    names = {"motion map at": "M", "residual map at": "R"}
    return "".join(letter for text in asked.texts[:-1] for name, letter in names.items() if name in text)


def test_each_condition_is_a_run_and_the_first_is_compared_with_the_others(asking: Asking) -> None:
    def answer(asked: Asked) -> Reply:
        return completion("B" if kinds(asked) == "R" * 8 else "A")

    with mock_api(answer) as served:
        done = study(served, asking, ["A", "D", "E"])
    assert [kinds(asked) for asked in served.asked] == [""] * 3 + ["M" * 8] * 3 + ["R" * 8] * 3
    shares = {name: run.summary and run.summary.overall.accuracy.share for name, run in done.runs.items()}
    assert shares == {"A": 1.0, "D": 1.0, "E": 0.0}
    assert [(pair.first, pair.second, pair.difference) for pair in done.pairs] == [("A", "D", 0.0), ("A", "E", -1.0)]
    assert done.stopped is None
    for name in "ADE":
        assert load_run(asking.folder / name).header.method["condition"] == name
    assert json.loads(json.dumps(done.to_json()))["runs"]["E"]["answers"] == 3


def test_all_five_are_asked_by_default_and_other_methods_on_request() -> None:
    assert list(choose_methods([], [])) == ["A", "B", "C", "D", "E"]
    assert list(choose_methods([], ["dense"])) == ["dense"]
    assert list(choose_methods(["B"], ["panel"])) == ["B", "panel"]
    with pytest.raises(UsageError, match="condition='Z' does not exist"):
        choose_methods(["Z"], [])


def test_a_method_that_cannot_be_asked_is_refused_before_anything_is(asking: Asking) -> None:
    with mock_api(in_turn(completion("A"))) as served, pytest.raises(UsageError, match="'himmel' works inside"):
        study(served, asking, ["A"], ("himmel",))
    assert served.asked == []


def test_the_limit_is_one_for_all_conditions_and_for_runs_before(asking: Asking) -> None:
    """An answer costs 0.1, and at most 1 is set aside for it."""
    prices = Prices(0, 10_000)
    with mock_api(in_turn(completion("A", usage=(5, 10)))) as served:
        done = study(served, asking, ["A", "B", "C"], prices=prices, limit=1.35)
        assert len(served.asked) == 4
        assert {name: len(run.rows) for name, run in done.runs.items()} == {"A": 3, "B": 1}
        assert "0.4000 of 1.35 is spent" in str(done.stopped)
        again = study(served, asking, ["A", "B", "C"], prices=prices, limit=1.35)
        assert len(served.asked) == 4
        assert again.stopped is not None
        done = study(served, asking, ["A", "B", "C"], prices=prices, limit=5)
    assert len(served.asked) == 9
    assert done.stopped is None
    assert {name: round(run.cost or 0, 3) for name, run in done.runs.items()} == {"A": 0.3, "B": 0.3, "C": 0.3}


def test_questions_without_an_answer_are_told_and_asked_again(asking: Asking) -> None:
    def answer(asked: Asked) -> Reply:
        return refusal(503, "busy") if kinds(asked) == "M" * 8 and "1?" in asked.texts[-1] else completion("A")

    with mock_api(answer) as served:
        done = study(served, asking, ["A", "D"])
        assert done.runs["D"].summary is None
        assert done.pairs == ()
        assert str(done.stopped).startswith("1 question has no answer yet, the first '1' of run 'D' (")
        served.answer = in_turn(completion("A"))
        served.asked.clear()
        done = study(served, asking, ["A", "D"])
    assert len(served.asked) == 1
    assert done.stopped is None
    assert len(done.pairs) == 1


def test_answers_that_were_cut_are_counted(asking: Asking) -> None:
    with mock_api(in_turn(completion(None, finish="length"), completion("A"))) as served:
        done = study(served, asking, ["A"])
    assert done.runs["A"].cut == 1
