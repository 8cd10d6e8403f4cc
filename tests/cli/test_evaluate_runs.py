"""`himmel eval FILE`, `himmel eval BENCHMARK --data DIR` and `himmel eval compare`, with a tiny model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]

LINES = [
    {"id": "1", "video": "a.mp4", "question": "Which way?", "choices": ["left", "to the right"], "answer": "left"},
    {"id": "2", "video": "a.mp4", "question": "What moves?", "choices": ["all of it", "no one"], "answer": "B"},
    {"id": "3", "video": "broken.mp4", "question": "Which way?", "choices": ["left", "right"], "answer": 0},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_clip(folder / "a.mp4", num_frames=12, options={"g": "6"})
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return folder


@pytest.fixture
def evaluate(run: Run, data: Path, checkpoint: Path) -> Run:
    """`himmel eval` of the questions with the tiny adapter."""

    def evaluate_file(*options: str | Path) -> tuple[int, str, str]:
        return run("eval", data / "questions.jsonl", "--adapter", checkpoint, "--threads", "1", *options)

    return evaluate_file


def refusal(found: tuple[int, str, str], code: int = 1) -> str:
    """The one sentence of a command that failed."""
    assert found[:2] == (code, "")
    assert found[2].startswith("himmel: ")
    assert found[2].count("\n") == 1
    assert "unexpected" not in found[2]
    return found[2]


def test_a_file_of_questions_is_asked_and_summarised(evaluate: Run, tmp_path: Path) -> None:
    code, out, err = evaluate("-o", tmp_path / "run", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (said["overall"]["accuracy"]["total"], list(said["failed"])) == (3, ["3"])
    header = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (header["benchmark"], header["questions"], header["summary"]["overall"]) == (
        "questions.jsonl",
        3,
        said["overall"],
    )
    lines = (tmp_path / "run" / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2", "3"]


def test_for_a_person(evaluate: Run, tmp_path: Path) -> None:
    code, out, err = evaluate("-o", tmp_path / "run", "--method", "dense", "--frames", "2")
    shown = " ".join(out.split())
    assert (code, err) == (0, "")
    for part in ("1 question could not be asked", "3: ", "broken.mp4", "32 image", "to the first token", "over videos"):
        assert part in shown


def test_runs_are_compared(evaluate: Run, run: Run, tmp_path: Path) -> None:
    for name, options in {
        "one": ("--scoring", "raw"),
        "two": ("--listing", "letters"),
        "few": ("--limit", "2"),
    }.items():
        assert evaluate("-o", tmp_path / name, *options)[0] == 0
    code, out, err = run("eval", "compare", tmp_path / "one", tmp_path / "two")
    assert (code, err) == (0, "")
    assert "one" in out
    assert "Holm: corrected for one comparison" in " ".join(out.split())
    code, out, _ = run("eval", "compare", tmp_path / "one", tmp_path / "two", "--json")
    assert json.loads(out)["pairs"][0]["decides"] == "cluster"
    assert "share 2 ids" in refusal(run("eval", "compare", tmp_path / "one", tmp_path / "few"), 2)
    assert "nowhere" in refusal(run("eval", "compare", tmp_path / "one", tmp_path / "nowhere"))


def test_a_run_in_the_folder_of_another_is_refused(evaluate: Run, tmp_path: Path) -> None:
    assert evaluate("-o", tmp_path / "run", "--limit", "1")[0] == 0
    assert "holds another run" in refusal(evaluate("-o", tmp_path / "run", "--limit", "1", "--scoring", "raw"), 2)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--method", "dens"), "'dense'"),
        (("--method", "dense", "--option", "colour=red"), "'colour'"),
        (("--answer-form", "letter"), "listing='letters'"),
        (("--data", "there"), "--data 'there'"),
        (("--split", "train"), "'train'"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    evaluate: Run, tmp_path: Path, options: tuple[str, ...], names: str
) -> None:
    assert names in refusal(evaluate("-o", tmp_path / "run", *options), 2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (("video_mm", "--data", "."), 2, "'video_mme'"),
        (("video_mme",), 2, "--data"),
        (("video_mme", "--data", "nowhere"), 1, "'nowhere'"),
        (("nowhere.jsonl",), 1, "'nowhere.jsonl'"),
    ],
)
def test_a_benchmark_that_is_not_there(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, names: str
) -> None:
    assert names in refusal(run("eval", *arguments, "-o", tmp_path / "run"), code)


def test_missing_videos_are_counted(run: Run, data: Path, checkpoint: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(data, half)
    (half / "broken.mp4").unlink()
    command = ("eval", half / "questions.jsonl", "--adapter", checkpoint, "--threads", "1", "-o", tmp_path / "run")
    said = refusal(run(*command))
    assert "1 of 2 files is missing" in said
    assert "--allow-missing" in said
    code, out, err = run(*command, "--allow-missing", "--json")
    assert code == 0
    assert json.loads(out)["overall"]["accuracy"]["total"] == 2
    assert "left out" in err
