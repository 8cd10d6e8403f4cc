"""`himmel watch`: lines for people and for machines, as they come."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from live_sources import http_server, send

Encode = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def clip(encode_clip: Encode) -> Path:
    return encode_clip("a.ts", num_frames=250, options={"g": "25"})


def test_a_line_an_event(clip: Path, run: Run) -> None:
    code, out, err = run("watch", clip, "--patience", "0.3")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"0:00:00.0-0:00:10.0  the camera pans left by \d+ % a second and tilts up by \d+ % a second\n", out
    )


def test_json_is_an_object_a_line(clip: Path, run: Run) -> None:
    code, out, err = run("watch", clip, "--patience", "0.3", "--json")
    assert (code, err) == (0, "")
    [event] = map(json.loads, out.splitlines())
    assert (event["kind"], event["start"], event["end"]) == ("camera", 0, 10)
    assert event["what"]["motion"]["pan"] < 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", event["wall_start"])


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Put lines where the command reads them."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as lines:
        monkeypatch.setattr("sys.stdin", lines)

        def put(text: str) -> None:
            os.write(writer, text.encode())
            os.close(writer)

        yield put


def test_lines_that_are_typed_are_questions(
    clip: Path, checkpoint: Path, run: Run, typed: Callable[[str], None]
) -> None:
    typed("What moves?\n\nWhich way? | left | right\nWhich? | left")
    code, out, err = run("watch", clip, "--patience", "0.3", "--adapter", checkpoint, "--max-new-tokens", "2")
    assert code == 0
    first, second = [line for line in out.splitlines() if "?" in line]
    assert re.match(r"0:00:00.0-0:00:\d\d.\d  What moves\? ", first)
    assert re.search(r"Which way\? (left|right) \(left [\d.]+, right [\d.]+\)$", second)
    assert "the camera pans left" in out
    assert err.splitlines() == [
        "himmel: loading the model for the first question ...",
        "himmel: The single option 'left' leaves nothing to choose; give at least two options.",
    ]


def test_answers_as_json(clip: Path, checkpoint: Path, run: Run, typed: Callable[[str], None]) -> None:
    typed("What moves?\nWhich? | left\n")
    options = ("--patience", "0.3", "--adapter", checkpoint, "--max-new-tokens", "2", "--no-events", "--json")
    code, out, err = run("watch", clip, *options)
    assert (code, err) == (0, "")
    answer, failure = map(json.loads, out.splitlines())
    assert (answer["kind"], answer["question"], answer["start"]) == ("answer", "What moves?", 0)
    assert answer["video"]["path"] == str(clip)
    assert answer["tokens"]["motion"] > 0
    assert failure == {
        "kind": "failure",
        "question": "Which? | left",
        "words": "The single option 'left' leaves nothing to choose; give at least two options.",
    }


@pytest.mark.slow
def test_a_stream_that_is_lost_fails_in_the_end(clip: Path, run: Run) -> None:
    """Times of addresses are times of day, and what befell the stream itself is told on stderr."""
    asked = []

    def answer(handler: object) -> None:
        asked.append(handler)
        if len(asked) == 1:
            send(handler, clip.read_bytes())
        else:
            handler.send_error(503)

    with http_server(answer) as address:
        code, out, err = run("watch", f"{address}/live.ts", "--patience", "12")
    assert code == 1
    assert re.match(r"\d\d:\d\d:\d\d-\d\d:\d\d:\d\d  the camera pans left", out)
    first, last = err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  The connection was lost \(.*\); trying again", first)
    assert re.fullmatch(r"himmel: 'http://.*/live.ts' was lost \(.*5.*\) and no picture has come for 12 s; .*", last)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.ts"], 1, "There is no file 'nowhere.ts'"),
        (["gopher://x"], 2, "cannot be watched: himmel follows files and addresses"),
        (["a.ts", "--ffmpeg", "x"], 2, "is not of the form NAME=VALUE"),
        (["a.ts", "--ffmpeg", "x=1", "--ffmpeg", "x=2"], 2, "is given twice"),
        (["a.ts", "--method", "guess"], 2, "'guess' does not exist"),
        (["a.ts", "--minutes", "0"], 2, "--minutes"),
        ([""], 2, "The path is empty"),
    ],
)
def test_bad_usage_is_one_sentence(arguments: list[str], code: int, says: str, run: Run) -> None:
    found, out, err = run("watch", *arguments)
    assert (found, out) == (code, "")
    assert says in err
    assert err.count("\n") == 1
