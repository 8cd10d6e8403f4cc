"""`himmel watch`: lines for people and for machines, as they come."""

import json
import re
from collections.abc import Callable
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
        code, out, err = run("watch", f"{address}/live.ts", "--patience", "1")
    assert code == 1
    assert re.match(r"\d\d:\d\d:\d\d-\d\d:\d\d:\d\d  the camera pans left", out)
    first, last = err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  The connection was lost \(.*\); trying again", first)
    assert re.fullmatch(r"himmel: 'http://.*/live.ts' was lost \(.*5.*\) and no picture has come for 1 s; .*", last)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nowhere.ts"], 1, "There is no file 'nowhere.ts'"),
        (["gopher://x"], 2, "cannot be watched: himmel follows files and addresses"),
        (["a.ts", "--option", "x"], 2, "is not of the form NAME=VALUE"),
        (["a.ts", "--minutes", "0"], 2, "--minutes"),
        ([""], 2, "The path is empty"),
    ],
)
def test_bad_usage_is_one_sentence(arguments: list[str], code: int, says: str, run: Run) -> None:
    found, out, err = run("watch", *arguments)
    assert (found, out) == (code, "")
    assert says in err
    assert err.count("\n") == 1
