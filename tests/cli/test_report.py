"""`himmel report`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from run_folders import write_run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs/dense", [True, False] * 3)
    write_run(tmp_path / "runs/cut", [True], method="panel", questions=6)
    return tmp_path / "runs"


def test_a_report_is_written_and_told(run: Run, runs: Path, tmp_path: Path) -> None:
    code, out, err = run("report", runs, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "index.md" in "".join(out.split())
    # Where the window is too narrow for a path, it goes on in the next line.
    assert "runs/cut" in "".join(out.split())
    assert "table-17-pictures" in "".join(out.split())
    code, out, _ = run("report", runs, "-o", tmp_path / "out", "--json")
    told = json.loads(out)
    assert (code, told["runs"], told["partial"]) == (0, 1, [str(runs / "cut")])
    assert (tmp_path / "out" / f"{told['figures'][0]}.png").is_file()


def test_a_clip_is_drawn(run: Run, runs: Path, tmp_path: Path, encode_clip: Callable[..., Path]) -> None:
    clip = encode_clip("walk.mp4", num_frames=24, options={"g": "8"})
    code, _, err = run("report", runs, "-o", tmp_path / "out", "--clip", clip)
    assert (code, err) == (0, "")
    assert (tmp_path / "out/figure-34-strips-walk.svg").is_file()


@pytest.mark.parametrize(
    ("places", "output", "code", "said"),
    [
        (["nowhere"], "out", 2, "There is no 'nowhere'"),
        (["empty"], "out", 2, "There is no result in empty"),
        (["runs"], "file", 1, "cannot be written into 'file'"),
        ([], "out", 2, "Missing argument"),
    ],
)
def test_bad_input(
    run: Run,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    places: list[str],
    output: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(runs.parent)
    Path("empty").mkdir()
    Path("file").write_text("")
    got, out, err = run("report", *places, "-o", output)
    assert (got, out) == (code, "")
    assert said in err


def test_two_answers_to_a_question(run: Run, runs: Path, tmp_path: Path) -> None:
    answers = runs / "dense/answers.jsonl"
    answers.write_text(answers.read_text() * 2)
    code, out, err = run("report", runs, "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert "two answers to question '0000'" in " ".join(err.split())


def test_a_clip_that_is_no_video(run: Run, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    code, _, err = run("report", runs, "-o", tmp_path / "out", "--clip", tmp_path / "text.mp4")
    assert code == 1
    assert "text.mp4" in " ".join(err.split())
