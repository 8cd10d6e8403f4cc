"""Tables of runs, and runs side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from himmel.errors import HimmelError, UsageError
from himmel.evaluation.runs.compare import compare_folders, compare_runs
from himmel.evaluation.runs.record import Evidence, Header, Row, Run
from himmel.evaluation.runs.summary import summarise_run
from himmel.evaluation.statistics import accuracy, compare_paired
from himmel.methods.removed import Removed

EVIDENCE = Evidence(
    video_sha256="",
    frames=(),
    times=(),
    backend=None,
    pixels=(1, 1),
    prompt_sha256="",
    tokens={"text": 10, "image": 30, "motion": 0},
    removed=None,
    seed=0,
    seconds={"prepare": 0.5, "answer": 1.0, "first_token": 2.0},
    peak_memory=100,
)


def row(number: int, *, right: bool, video: int | None = None, **changes: object) -> Row:
    cluster = str(number if video is None else video)
    plain = Row(
        id=f"{number:03}", media="m", media_kind="video", cluster=cluster, question="?", answer=("A",), parsed="A",
        right=right, points=float(right), record=EVIDENCE,
    )  # fmt: skip
    return replace(plain, **changes)


def run(name: str, rows: Sequence[Row], *, mark: str = "same") -> Run:
    header = Header(
        benchmark="b", data="", questions=len(rows), questions_sha256=mark, method={"name": name}, host=None,
        adapter=None, adapter_sha256=None, settings={}, versions={},
    )  # fmt: skip
    return Run(Path(name), header, tuple(rows))


def test_rows_are_counted_by_category_task_and_duration() -> None:
    rows = [
        row(1, right=True, category="count", duration=30.0),
        row(2, right=False, category="count", duration=300.0),
        row(3, right=True, category="order", duration=3000.0),
        row(4, right=True, category=None, duration=None),
    ]
    found = summarise_run(rows)
    assert found.overall.accuracy == accuracy([True, False, True, True])
    counts = {
        group: {name: (cell.accuracy.correct, cell.accuracy.total) for name, cell in cells.items()}
        for group, cells in found.by.items()
    }
    assert counts == {
        "category": {"(none)": (1, 1), "count": (1, 2), "order": (1, 1)},
        "duration": {"(none)": (1, 1), "2 to 15 min": (0, 1), "from 15 min": (1, 1), "under 2 min": (1, 1)},
    }


def test_the_benchmarks_own_durations_go_first() -> None:
    rows = [row(1, right=True, duration=30.0, duration_group="long"), row(2, right=True, duration_group="short")]
    assert list(summarise_run(rows).by["duration"]) == ["long", "short"]


def test_questions_that_share_videos_get_a_wider_interval() -> None:
    rows = [row(number, right=number // 3 % 2 == 0, video=number // 3) for number in range(60)]
    shared = summarise_run(rows).overall
    assert (shared.videos, shared.decides) == (20, "cluster")
    assert shared.clustered is not None
    assert shared.interval == shared.clustered
    assert shared.interval.high - shared.interval.low > shared.accuracy.high - shared.accuracy.low
    alone = summarise_run([row(number, right=number % 2 == 0) for number in range(60)]).overall
    assert (alone.videos, alone.decides, alone.clustered) == (60, "wilson", None)


def test_the_order_of_answers_does_not_matter() -> None:
    rows = [row(number, right=number % 3 == 0, video=number // 4) for number in range(40)]
    assert summarise_run(rows) == summarise_run(rows[::-1])


def test_failed_and_unread_answers_are_told_apart() -> None:
    rows = [
        row(1, right=True),
        row(2, right=False, parsed=None, given="hm"),
        row(3, right=False, parsed=None, record=None, error="It is broken."),
    ]
    found = summarise_run(rows)
    assert (found.unread, found.failed, found.overall.accuracy.total) == (1, {"003": "It is broken."}, 3)


def test_costs_are_those_of_answers_that_were_given() -> None:
    removed = Removed(unit="tokens", before=64, after=16)
    later = replace(EVIDENCE, removed=removed, seconds={"answer": 1.0, "first_token": 0.5}, peak_memory=300)
    slow = replace(EVIDENCE, seconds={"prepare": 1.0, "answer": 2.0, "first_token": 4.0})
    rows = [
        row(1, right=True),
        row(2, right=True, record=slow),
        row(3, right=True, record=later),
        row(4, right=False, record=None, error="broken"),
    ]
    costs = summarise_run(rows).costs
    assert costs is not None
    assert costs.tokens == {"text": 10, "image": 30, "motion": 0}
    assert costs.removed == {"before": 64, "after": 16}
    # The third found its video read already, which is no time from a file to a token.
    assert (costs.first_token, costs.seconds, costs.peak_memory) == (3.0, 5.5, 300)


def test_points_need_not_be_whole() -> None:
    found = summarise_run([row(1, right=False, points=0.5), row(2, right=True)])
    assert (found.overall.points, found.overall.accuracy.share) == (0.75, 0.5)


def test_runs_are_compared_question_by_question() -> None:
    first = [row(number, right=number < 10) for number in range(30)]
    second = [row(number, right=number >= 8) for number in range(30)]
    third = [row(number, right=number < 11) for number in range(30)]
    found = compare_runs([run("one", first), run("two", second[::-1]), run("three", third)])
    assert [(pair.first, pair.second, pair.decides) for pair in found.pairs] == [
        ("one", "two", "mcnemar"),
        ("one", "three", "mcnemar"),
    ]
    expected = compare_paired([one.right for one in first], [other.right for other in second])
    assert found.pairs[0].mcnemar == expected
    assert found.pairs[0].difference == pytest.approx(12 / 30)
    assert found.pairs[0].interval.low < 12 / 30 < found.pairs[0].interval.high
    # Two comparisons: the smaller p-value counts twice, the larger as it is.
    assert found.pairs[0].p_value == pytest.approx(2 * expected.p_value)
    assert found.pairs[1].p_value == 1.0


def test_where_questions_share_videos_whole_videos_are_exchanged() -> None:
    first = [row(number, right=False, video=number // 10) for number in range(40)]
    second = [row(number, right=True, video=number // 10) for number in range(40)]
    (pair,) = compare_runs([run("one", first), run("two", second)]).pairs
    # Four videos: no less than 2 of 16 exchanges give such a difference, though McNemar sees 40 questions.
    assert (pair.decides, pair.clustered, pair.p_value) == ("cluster", pytest.approx(1 / 8), pytest.approx(1 / 8))
    assert pair.mcnemar.p_value < 1e-11


def test_runs_with_other_questions_are_refused() -> None:
    one = run("one", [row(1, right=True), row(2, right=True)])
    fewer = run("fewer", [row(1, right=True)], mark="other")
    with pytest.raises(UsageError, match=r"'one' \(2 questions\) and 'fewer' \(1\) share 1 ids"):
        compare_runs([one, fewer])
    with pytest.raises(UsageError, match="same ids for different questions"):
        compare_runs([one, run("two", one.rows, mark="other")])


def test_a_comparison_needs_two_runs(tmp_path: Path) -> None:
    one = run("one", [row(1, right=True)])
    with pytest.raises(UsageError, match="leaves nothing to compare"):
        compare_runs([one])
    with pytest.raises(UsageError, match="named twice"):
        compare_runs([one, one])
    with pytest.raises(HimmelError, match="is no run"):
        compare_folders([tmp_path / "nowhere", tmp_path])


def test_folders_of_the_same_name_are_told_apart() -> None:
    rows = [row(1, right=True), row(2, right=False)]
    runs = [replace(run("x", rows), folder=Path(place) / "dense") for place in ("here", "there")]
    assert list(compare_runs(runs).runs) == ["here/dense", "there/dense"]
