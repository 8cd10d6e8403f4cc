"""What `write_report` finds, leaves out and writes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import HimmelError, UsageError
from himmel.evaluation.report.cells import summarise_all
from himmel.evaluation.report.collect import collect
from himmel.evaluation.report.further_tables import costs_table, pairs_table
from himmel.evaluation.report.report import Report, all_figures, write_report
from himmel.evaluation.report.table import to_markdown
from himmel.evaluation.report.tables import adapter_table, main_table, option_table
from himmel.evaluation.runs.record import ANSWERS
from himmel.methods.removed import Removed
from run_folders import write_run


def write_runs(folder: Path) -> Path:
    """Three methods on twelve questions, one of which cannot be asked."""
    write_run(folder / "dense", [place % 3 > 0 for place in range(12)])
    write_run(
        folder / "tome",
        [place % 2 > 0 for place in range(12)],
        method="tome",
        removed=Removed("tokens", 100, 40),
        errors={2: "The video '2.mp4' cannot be read; remove it."},
    )
    write_run(folder / "himmel", [True] * 12, method="himmel", adapter="/adapters/mine", options={"num_anchors": 4})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("report")
    return write_report([write_runs(folder / "runs")], folder / "out")


def test_every_table_and_figure_is_in_both_forms(report: Report) -> None:
    assert (report.runs, report.partial) == (3, ())
    written = {path.name for path in report.folder.iterdir()}
    tables = {name.removesuffix(".tex") for name in written if name.endswith(".tex")}
    expected = {f"{table}.{end}" for table in tables for end in ("md", "tex")}
    expected |= {f"{figure}.{end}" for figure in report.figures for end in ("png", "svg")}
    assert written == expected | {"index.md"}
    assert "table-01-main" in tables - set(report.empty)
    assert {"table-17-pictures", "table-29-conditions", "table-end-to-end"} <= set(report.empty)
    assert "table-failures" not in report.empty


def test_a_table_of_one_option_has_runs_that_change_no_other(tmp_path: Path) -> None:
    for name, options in (("4", {"num_anchors": 4}), ("4-1", {"num_anchors": 4, "tokens_per_interval": 1})):
        write_run(tmp_path / name, [True] * 12, method="himmel", adapter="/adapters/mine", options=options)
    table = option_table(summarise_all(collect([tmp_path]).runs), "num_anchors", number="12", what="anchors")
    assert [row[1] for row in table.rows] == ["4"]


def test_adapters_that_differ_in_one_setting_are_a_table_of_it(tmp_path: Path) -> None:
    for name, anchors, rank in (("four", 4, 32), ("eight", 8, 32), ("low", 8, 4)):
        trained = {"num_anchors": anchors, "tokens_per_interval": 64, "lora_rank": rank, "streams": ["motion"]}
        write_run(tmp_path / name, [True] * 12, method="himmel", adapter=f"/adapters/{name}", trained=trained)
    runs = summarise_all(collect([tmp_path]).runs)
    table = option_table(runs, "num_anchors", number="12", what="anchors")
    assert [row[1] for row in table.rows] == ["4", "8"]
    assert option_table(runs, "tokens_per_interval", number="13", what="tokens").rows == ()
    rows = {row[0]: row[3:7] for row in adapter_table(runs).rows}
    assert rows["Qwen2.5-VL-7B: low"] == ("motion", "", "", "4")


def test_main_table(report: Report) -> None:
    lines = (report.folder / "table-01-main.md").read_text().splitlines()
    assert lines[2:7] == [
        "| method | Video-MME (12) | tokens |",
        "| --- | ---: | ---: |",
        "| Qwen2.5-VL-7B: dense | 66.7 [39.1, 86.2] | 120 |",
        "| Qwen2.5-VL-7B: tome | 50.0 [25.4, 74.6] | 120 |",
        "| Qwen2.5-VL-7B: himmel (num_anchors 4) | 100.0 [75.8, 100.0] | 120 |",
    ]


def test_the_reports_value_is_beside_the_same_setting_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "whole", [True] * 765, benchmark="realworldqa", groups=False)
    write_run(tmp_path / "more", [True] * 765, benchmark="realworldqa", options={"num_frames": 64}, groups=False)
    write_run(tmp_path / "some", [True] * 10, benchmark="realworldqa", groups=False)
    text = to_markdown(main_table(summarise_all(collect([tmp_path]).runs)))
    assert text.count("report 70.1") == 1
    (row,) = (line for line in text.splitlines() if "report 70.1" in line)
    assert row.startswith("| Qwen2.5-VL-7B: dense | 100.0 [99.5, 100.0] (report 70.1) | 100.0 [72.2, 100.0] |")


def test_other_tables(report: Report) -> None:
    folder = report.folder
    assert (
        "| Video-MME (12): tome | 50.0 [25.4, 74.6] | 20 | 100 | 0 | 100 to 40 | 0.50 |  |"
        in (folder / "table-05-methods.md").read_text().splitlines()
    )
    assert (
        "| Video-MME (12): dense | short | 4 | 0.0 [0.0, 49.0] |  |"
        in (folder / "table-by-duration.md").read_text().splitlines()
    )
    assert (
        "| Video-MME (12) | 4 | 12 of 12 | 100.0 [75.8, 100.0] | 120 |  |"
        in (folder / "table-12-num-anchors.md").read_text().splitlines()
    )
    failures = (folder / "table-failures.md").read_text()
    assert "| Video-MME (12): tome | 0002 | The video '2.mp4' cannot be read; remove it. |" in failures
    pairs = [line for line in (folder / "table-pairs.md").read_text().splitlines() if line.startswith("| Video")]
    # `dense` is what the others are compared with.
    assert [line.split(" | ")[:3] for line in pairs] == [
        ["| Video-MME (12): dense", "tome", "-16.7"],
        ["| Video-MME (12): dense", "himmel (num_anchors 4)", "+33.3"],
    ]


def test_runs_on_other_questions_are_not_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [True] * 8)
    write_run(tmp_path / "b", [True] * 9, method="panel")
    results = collect([tmp_path])
    runs = summarise_all(results.runs)
    assert pairs_table(runs).is_missing
    assert {"figure-33-tokens-video-mme-8", "figure-33-tokens-video-mme-9"} <= dict(all_figures(results, runs)).keys()


def test_a_run_that_is_not_whole_is_left_out_and_named(runs: Path, tmp_path: Path) -> None:
    write_run(runs / "cut", [True] * 5, method="panel", questions=12)
    report = write_report([runs], tmp_path / "out")
    assert (report.runs, report.partial) == (3, (runs / "cut",))
    assert (
        f"answers are missing (run the same `himmel eval` again): `{runs / 'cut'}`"
        in (report.folder / "index.md").read_text()
    )
    assert "panel" not in (report.folder / "table-01-main.md").read_text()


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(runs: Path, tmp_path: Path) -> None:
    first, second = (write_report([runs], tmp_path / name).folder for name in ("one", "two"))
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def test_a_run_that_is_named_twice_counts_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    assert len(collect([runs, Path("runs"), runs / "dense"]).runs) == 3


def test_two_answers_to_a_question(runs: Path, tmp_path: Path) -> None:
    answers = runs / "dense" / ANSWERS
    answers.write_text(answers.read_text() + answers.read_text().splitlines(keepends=True)[0])
    with pytest.raises(HimmelError, match=r"two answers to question '0000', the second in line 13"):
        write_report([runs], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no '.*nowhere'"):
        collect([tmp_path / "nowhere"])


def test_a_folder_without_results(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"some": "thing"}))
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UsageError, match="There is no result in"):
        collect([tmp_path])


def test_a_place_that_cannot_be_written(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HimmelError, match=r"cannot be written into '.*file' \(File exists\); name a folder"):
        write_report([runs], tmp_path / "file")


@pytest.mark.slow
def test_case_studies(runs: Path, tmp_path: Path, encode_clip: Callable[..., Path]) -> None:
    clip = encode_clip("walk.mp4", num_frames=24, options={"g": "8"})
    report = write_report([runs], tmp_path / "out", clips=[clip])
    assert {"figure-02-streams-walk", "figure-34-strips-walk"} <= set(report.figures)
    assert "figure-34-strips" not in report.figures
    for name in ("figure-02-streams-walk", "figure-34-strips-walk"):
        assert (report.folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert (report.folder / f"{name}.svg").read_text().startswith("<?xml")


def test_clips_that_would_have_the_same_figures(runs: Path, tmp_path: Path) -> None:
    clips = [tmp_path / name / "walk.mp4" for name in ("a", "b")]
    for clip in clips:
        clip.parent.mkdir()
        clip.write_bytes(b"")
    with pytest.raises(UsageError, match="the same figures"):
        write_report([runs], tmp_path / "out", clips=clips)
    with pytest.raises(UsageError, match=r"no video '.*none\.mp4'"):
        write_report([runs], tmp_path / "out", clips=[tmp_path / "none.mp4"])


def test_timings(tmp_path: Path) -> None:
    row = {"minutes": 10.0, "threads": 1, "seconds": 6.0, "processor": 6.5, "tokens": {"text": 9}, "peak_mb": 700.4}
    rows = [
        {**row, "method": "dense"},
        {**row, "method": "himmel", "seconds": 1.5},
        {"method": "tome", "minutes": 10.0, "threads": 1, "error": "Nothing was removed."},
    ]
    (tmp_path / "times.json").write_text(json.dumps({"benchmark": "end-to-end", "host": "nano", "rows": rows}))
    lines = to_markdown(costs_table(collect([tmp_path]).timings)).splitlines()
    assert lines[4:7] == [
        "| 10 min, 1 thread: dense | 6.00 | 6.50 | 1.00 | 9 | 700 |  |",
        "| 10 min, 1 thread: himmel | 1.50 | 6.50 | 4.00 | 9 | 700 |  |",
        "| 10 min, 1 thread: tome |  |  |  |  |  | Nothing was removed. |",
    ]
