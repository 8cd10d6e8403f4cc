"""Names of runs, and which of the report's figures may stand beside one."""

from dataclasses import replace
from typing import Any

import pytest

from himmel.evaluation.report.labels import (
    host_name,
    method_label,
    published,
    published_beside,
    question_sets,
    run_labels,
    show_published,
)
from himmel.evaluation.runs.record import Header
from himmel.methods.choice import build, option_values
from run_folders import QWEN


def header(method: str = "dense", **changed: Any) -> Header:
    options = changed.pop("options", {})
    whole = {
        "benchmark": "video_mme",
        "data": "data",
        "questions": 2700,
        "questions_sha256": "a" * 64,
        "method": {"name": method, **option_values(build(method, **options))},
        "host": QWEN,
        "adapter": None,
        "adapter_sha256": None,
        "settings": {"scoring": "token", "subtitles": False},
        "versions": {},
    }
    return Header(**{**whole, **changed})


def test_the_same_setting_has_the_reports_values_from_all_tables() -> None:
    found = published_beside(header())
    assert {(entry.table, entry.value) for entry in found} == {("1", 61.2), ("5", 61.2), ("10", 61.2)}
    assert show_published(found) == "61.2 (tables 1, 5, 10)"
    assert (
        show_published(found, costs=True) == "61.2, 44.7 k tokens (tables 1, 10); 61.2, 44.7 k tokens, 2.75 s (table 5)"
    )


def test_tables_that_disagree_are_both_given() -> None:
    found = published_beside(header("himmel"), group="duration: long")
    assert show_published(found) == "56.6 (table 4); 65.56 (table 21)"


@pytest.mark.parametrize(
    "other",
    [
        header(host="Qwen/Qwen2.5-VL-3B-Instruct"),
        header(host="Qwen/Qwen2.5-VL-72B-Instruct"),
        header(questions=100),
        header(options={"num_frames": 64}),
        header(settings={"scoring": "token", "subtitles": True}),
        header(benchmark="questions.jsonl"),
        header("tome"),
        # The report's LOOK-M keeps a quarter of the entries.
        header("look_m"),
        # The text does not say how many of these were asked.
        header(benchmark="perception_test"),
    ],
)
def test_another_setting_has_none(other: Header) -> None:
    assert published_beside(other) == ()


def test_options_of_the_report_are_the_same_setting() -> None:
    ours = header("look_m", options={"important_ratio": 0.125, "recent_ratio": 0.125})
    assert [entry.value for entry in published_beside(ours)] == [60.9]
    four = header("himmel", options={"num_anchors": 4})
    assert [(entry.table, entry.value) for entry in published_beside(four)] == [("12", 59.0)]


def test_an_adapter_is_beside_the_reports_with_as_many_streams_anchors_and_tokens() -> None:
    usual = {"streams": ["context", "motion", "residual"], "num_anchors": 8, "tokens_per_interval": 64}

    def beside(**changed: Any) -> set[tuple[str, float]]:
        found = published_beside(header("himmel", trained={**usual, **changed}))
        return {(entry.table, entry.value) for entry in found}

    assert ("1", 63.5) in beside()
    assert {value for _, value in beside(streams=["motion"])} == {56.0}
    assert beside(num_anchors=4) == {("12", 59.0)}
    assert beside(num_anchors=4, tokens_per_interval=16) == set()


def test_published_values_are_per_cent() -> None:
    assert all(0 < entry.value < 100 for entry in published())
    means = [entry.value for entry in published() if entry.table == "22" and entry.method == "himmel"]
    # The tasks have 200 questions each, so that their mean is the total that table 1 prints.
    assert len(means) == 20
    assert sum(means) / 20 == pytest.approx(69.9)


def test_a_label_names_options_that_are_not_usual() -> None:
    assert method_label(header().method) == "dense"
    assert method_label(header(options={"num_frames": 64}).method) == "dense (num_frames 64)"
    assert method_label({"name": "of another version", "depth": [1, 2]}) == "of another version (depth 1 2)"


def test_labels_tell_runs_apart() -> None:
    one, two = header("himmel", adapter="/a/first"), header("himmel", adapter="/a/second/")
    assert run_labels([one, two]) == ["himmel [first]", "himmel [second]"]
    assert run_labels([one, replace(one, data="/ladder/qp-28")]) == ["himmel [data]", "himmel [qp-28]"]
    asked = replace(one, settings={"scoring": "byte", "subtitles": False})
    assert run_labels([one, asked]) == ["himmel [scoring token]", "himmel [scoring byte]"]
    assert run_labels([one, header(host="tiny")]) == ["Qwen2.5-VL-7B: himmel", "tiny: dense"]


def test_runs_on_other_questions_need_not_be_told_apart() -> None:
    assert run_labels([header(), header(questions_sha256="b" * 64, data="x")]) == ["dense", "dense"]


def test_sets_of_questions_have_names_of_their_own() -> None:
    headers = [
        header(),
        header(questions=10, questions_sha256="b" * 64),
        header(questions=10, questions_sha256="c" * 64),
        header(benchmark="some/file.jsonl", questions=3),
    ]
    assert list(question_sets(headers).values()) == [
        "Video-MME (2,700)",
        "Video-MME (10, bbbbbb)",
        "Video-MME (10, cccccc)",
        "file.jsonl (3)",
    ]


def test_files_of_one_name_are_called_by_their_folders() -> None:
    one, two = (header(benchmark="questions.jsonl", questions=count, data=f"real/{count}") for count in (3, 4))
    two = replace(two, questions_sha256="b" * 64)
    assert list(question_sets([one, two]).values()) == ["4/questions.jsonl (4)", "3/questions.jsonl (3)"]
    assert list(question_sets([one]).values()) == ["questions.jsonl (3)"]


@pytest.mark.parametrize(
    ("host", "name"),
    [(QWEN, "Qwen2.5-VL-7B"), ("/models/InternVL3-8B-hf/", "InternVL3-8B"), ("/models/mine", "mine"), (None, "?")],
)
def test_hosts(host: str | None, name: str) -> None:
    assert host_name(host) == name
