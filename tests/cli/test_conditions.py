"""`himmel eval conditions` and `judge` against an API on this machine and a tiny host."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.evaluation.runs.record import ANSWERS, load_run
from mock_api import KEY, Asked, Reply, completion, in_turn, mock_api, refusal

Run = Callable[..., tuple[int, str, str]]
FREE = {"question": "what is shown", "answer": "a dog"}
CHOICE = {"question": "Which way?", "choices": ["left", "right"], "answer": "left"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def write_questions(folder: Path, encode: Callable[..., Path], rows: list[dict[str, object]]) -> Path:
    encode(folder / "a.mp4", num_frames=32, options={"g": "8"})
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"id": str(k), "video": "a.mp4", **row}) + "\n" for k, row in enumerate(rows)))
    return path


def answer_a(asked: Asked) -> Reply:
    return completion("A")


@pytest.fixture
def questions(tmp_path: Path, encode_clip: Callable[..., Path]) -> Path:
    return write_questions(tmp_path, encode_clip, [CHOICE] * 3)


def test_an_api_is_asked_and_the_runs_are_compared(run: Run, questions: Path, tmp_path: Path) -> None:
    runs, picture = tmp_path / "runs", tmp_path / "strips.png"
    with mock_api(answer_a) as served:
        who = ("--model", "mock", "--api", served.url, "--price-in", "1", "--price-out", "2")
        what = ("--condition", "A", "--condition", "C", "--picture", picture)
        code, out, err = run("eval", "conditions", questions, "-o", runs, *who, *what)
        assert (code, len(served.asked)) == (0, 6)
        assert "2 frames, 3 motion maps, 3 residual maps" in out
        assert "100.0" in out
        assert picture.read_bytes().startswith(b"\x89PNG")
        code, out, _ = run("eval", "conditions", questions, "-o", runs, *who, *what, "--json")
        assert (code, len(served.asked)) == (0, 6)
    found = json.loads(out)
    assert {name: one["answers"] for name, one in found["runs"].items()} == {"A": 3, "C": 3}
    assert found["runs"]["A"]["cost"] == pytest.approx(3 * (1000 + 2 * 10) * 1e-6)
    assert KEY not in out + err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_a_limit_on_spending_stops_with_one_sentence_and_keeps_what_is_paid(
    run: Run, questions: Path, tmp_path: Path
) -> None:
    with mock_api(in_turn(completion("A", usage=(0, 10)))) as served:
        who = ("--model", "mock", "--api", served.url, "--price-in", "0", "--price-out", "1000", "--at-once", "1")
        code, _, err = run(
            "eval", "conditions", questions, "-o", tmp_path / "runs", *who, "--most-cost", "1.035", "--condition", "A"
        )
    assert code == 1
    assert len(served.asked) == 2
    assert "0.0200 of 1.03 is spent, and the next question may cost 1.02" in err
    assert len(load_run(tmp_path / "runs" / "A", whole=False).rows) == 2


def test_a_local_host_is_asked_in_the_same_way(
    run: Run, questions: Path, tmp_path: Path, tiny_host: Callable[[str], str]
) -> None:
    host = tiny_host("llava_onevision")
    code, out, _ = run(
        "eval", "conditions", questions, "-o", tmp_path / "runs", "--host", host, "--condition", "D", "--json",
        "--longest-side", "42",
    )  # fmt: skip
    assert code == 0
    row = load_run(tmp_path / "runs" / "D").rows[0]
    assert row.scores is not None
    assert row.record is not None
    assert (len(row.record.frames), row.record.cost, row.record.pixels) == (8, None, (42, 34))
    assert json.loads(out)["runs"]["D"]["cost"] is None


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(run: Run, questions: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "A"

    def slowly(asked: Asked) -> Reply:
        return Reply(body=completion("A").body, wait=0.0 if len(served.asked) == 1 else 60.0)

    with mock_api(slowly) as served:
        who = ["--model", "mock", "--api", served.url, "--condition", "A", "--at-once", "1"]
        command = ["eval", "conditions", str(questions), "-o", str(tmp_path / "runs"), *who]
        code = f"from himmel.cli import main; main({command!r})"
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, env=os.environ) as process:
            until = time.monotonic() + 240
            while len(served.asked) < 2 and time.monotonic() < until:
                time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
        assert len(load_run(folder, whole=False).rows) == 1
        kept = (folder / ANSWERS).read_bytes()
        served.answer = answer_a
        served.asked.clear()
        assert run(*command)[0] == 0
    assert len(served.asked) == 2
    assert (folder / ANSWERS).read_bytes().startswith(kept)


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ((), 2, "Nobody is asked; name a local host with --host, or a model of an API with --model."),
        (("--model", "m", "--host", "h"), 2, "Both the host 'h' and the API's model 'm' are named"),
        (("--model", "m", "--most-cost", "3"), 2, "--most-cost 3 needs to know what tokens cost"),
        (("--model", "m", "--price-in", "3"), 2, "Only one of --price-in and --price-out is given"),
        (("--model", "m", "--api", "nowhere"), 2, "'nowhere' is not the URL of an API"),
        (("--model", "m", "--api", "http://a:b@c/v1"), 2, "holds a name, a password or a query"),
        (("--model", "m", "--condition", "F"), 2, "'F' is not one of 'A', 'B', 'C', 'D', 'E'"),
        (("--model", "m", "--api", "http://localhost/v1", "--method", "himmel"), 2, "'himmel' works inside the model"),
        (("--model", "m", "--picture", "strips.txt"), 2, "does not say which kind of picture"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_sentence(
    options: tuple[str, ...], code: int, sentence: str, run: Run, questions: Path, tmp_path: Path
) -> None:
    found, out, err = run("eval", "conditions", questions, "-o", tmp_path / "runs", *options)
    assert (found, out) == (code, "")
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert not (tmp_path / "runs").exists()


def test_openai_is_not_asked_without_a_key(
    run: Run, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    code, _, err = run("eval", "conditions", questions, "-o", tmp_path / "runs", "--model", "m")
    assert code == 2
    assert "The environment variable OPENAI_API_KEY is not set" in err


def free_run(run: Run, folder: Path, encode: Callable[..., Path], answers: list[str | None]) -> Path:
    """A run of free questions that an API answered so."""
    questions = write_questions(folder, encode, [FREE] * len(answers))
    with mock_api(in_turn(*(completion(text) for text in answers))) as served:
        who = ("--model", "mock", "--api", served.url, "--condition", "A", "--at-once", "1")
        assert run("eval", "conditions", questions, "-o", folder / "runs", *who)[0] == 0
    return folder / "runs" / "A"


def test_free_answers_are_judged_beside_their_exact_match(
    run: Run, tmp_path: Path, encode_clip: Callable[..., Path]
) -> None:
    folder = free_run(run, tmp_path, encode_clip, ["A dog.", "a puppy", "a cat", None])

    def verdict(asked: Asked) -> Reply:
        right = '"a cat"' not in asked.texts[0]
        return completion(json.dumps({"pred": "yes" if right else "no", "score": 4 if right else 1}), usage=(100, 10))

    with mock_api(verdict) as served:
        who = ("--model", "judge", "--api", served.url, "--price-in", "1", "--price-out", "1")
        code, out, err = run("eval", "judge", folder, *who)
        assert (code, len(served.asked)) == (0, 3)
        assert "judge judge" in out
        assert "match by 2.25 of 5" in out
        code, out, err = run("eval", "judge", folder, *who, "--json")
        assert (code, len(served.asked)) == (0, 3)
    found = json.loads(out)
    assert (found["exact"]["correct"], found["right"]["correct"], found["score"]) == (1, 2, 2.25)
    assert found["cost"] == pytest.approx(330e-6)
    summary = load_run(folder).header.summary
    assert summary is not None
    assert summary["judge"] == found
    assert KEY not in (folder / "judged.jsonl").read_text() + out + err


def test_judging_goes_on_and_says_what_is_missing(run: Run, tmp_path: Path, encode_clip: Callable[..., Path]) -> None:
    folder = free_run(run, tmp_path, encode_clip, ["dog", "cat"])

    def verdict(asked: Asked) -> Reply:
        if '"cat"' in asked.texts[0]:
            return refusal(503, "busy")
        return completion("I will not say.")

    with mock_api(verdict) as served:
        who = ("--model", "judge", "--api", served.url, "--retries", "0")
        code, out, err = run("eval", "judge", folder, *who)
        assert code == 1
        said = " ".join(out.split())
        assert (
            "1 answer could not be judged, counted as wrong, the first 0: The judge's reply 'I will not say.'" in said
        )
        assert "1 answer is not judged yet, the first 1: " in err
        served.answer = in_turn(completion('{"pred": "no", "score": 0}'))
        assert run("eval", "judge", folder, *who)[0] == 0
        code, _, err = run("eval", "judge", folder, "--model", "other", "--api", served.url)
    assert code == 2
    assert "holds verdicts of 'judge', and 'other' is to judge" in err


def test_a_run_of_choices_needs_no_judge(run: Run, questions: Path, tmp_path: Path) -> None:
    with mock_api(answer_a) as served:
        who = ("--model", "mock", "--api", served.url)
        run("eval", "conditions", questions, "-o", tmp_path / "runs", "--condition", "A", *who)
        served.asked.clear()
        code, _, err = run("eval", "judge", tmp_path / "runs" / "A", *who)
        assert (code, served.asked) == (2, [])
        assert "has no free answers" in err
        code, _, err = run("eval", "judge", tmp_path / "nowhere", *who)
        assert code == 1
        assert "is no run" in err
        code, _, err = run("eval", "judge", tmp_path / "runs" / "A")
    assert code == 2
    assert "Nobody is to judge" in err
