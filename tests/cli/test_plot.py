"""`himmel plot`: figures of trainings alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from himmel.evaluation.report.collect import collect_training

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "stage1-a"
    (folder / "training").mkdir(parents=True)
    log = [{"step": step, "loss": 4.0 - step / 10, "positive": step / 40} for step in range(10, 40, 10)]
    (folder / "training" / "stage1.json").write_text(json.dumps({"log": log}))
    return tmp_path / "runs"


def test_both_figures_are_written_as_png_and_svg(run: Run, training: Path, tmp_path: Path) -> None:
    code, out, err = run("plot", training, "-o", tmp_path / "figures", "--json")
    assert (code, err) == (0, "")
    names = json.loads(out)["figures"]
    assert names == ["figure-05-stage-2", "figure-06-stage-1"]
    for name in names:
        with Image.open(tmp_path / "figures" / f"{name}.png") as image:
            assert image.width > 800
        assert "</svg>" in (tmp_path / "figures" / f"{name}.svg").read_text()
    # Of stage 2 there is no log: its figure says so.
    assert "Not measured yet" in (tmp_path / "figures" / "figure-05-stage-2.svg").read_text()


def test_the_report_draws_the_same(run: Run, training: Path, tmp_path: Path) -> None:
    assert run("plot", training, "-o", tmp_path / "a")[0] == 0
    assert run("report", training, "-o", tmp_path / "b")[0] == 0
    for file in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes()


def test_a_folder_without_a_training_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "motion.json").write_text(json.dumps({"benchmark": "nano-motion"}))
    for place in (tmp_path / "else", tmp_path / "motion.json"):
        code, out, err = run("plot", place, "-o", tmp_path / "figures")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "There is no log of a training in" in err


def test_a_training_under_way_is_drawn_from_its_newest_checkpoint(run: Run, tmp_path: Path) -> None:
    stage = tmp_path / "runs" / "stage2-b"
    for step in (5, 10):
        folder = stage / "state" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        log = [{"step": number, "loss": 9.0 - number} for number in range(5, step + 1, 5)]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    assert run("plot", tmp_path / "runs", "-o", tmp_path / "figures")[0] == 0
    drawn = (tmp_path / "figures" / "figure-05-stage-2.svg").read_text()
    assert "stage2-b, training" in drawn
    # A newer one that is only half-written takes nothing away.
    (stage / "state" / "checkpoint-15").mkdir()
    (stage / "state" / "checkpoint-15" / "trainer_state.json").write_text('{"log_history": [{"step": 5, "lo')
    (document,) = collect_training([tmp_path / "runs"])
    assert [entry["step"] for entry in document.content["log"]] == [5, 10]
    # As soon as it is over, its own record counts.
    (stage / "training").mkdir()
    (stage / "training" / "stage2.json").write_text(json.dumps({"log": [{"step": 15, "loss": 1.0}]}))
    (document,) = collect_training([tmp_path / "runs"])
    assert document.content["log"] == [{"step": 15, "loss": 1.0}]
