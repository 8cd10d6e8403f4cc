"""What the page's server answers: videos, time lines, pictures, questions; and whom it refuses."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from himmel.serving.studio import looking
from himmel.video import Video

STREAMS = {"num_anchors": 3, "steps_per_interval": 2}
QUESTION = {**STREAMS, "question": "Which way?", "choices": ["left", "right"], "frames": 4}


def upload(browser: Any, content: bytes, name: str = "a.mp4") -> str:
    status, said = browser.ask("POST", "/api/videos", content, x_file_name=name)
    assert status == 200, said
    return str(json.loads(said)["id"])


def test_a_time_line_has_what_the_library_reads(browser: Any, clip: Path) -> None:
    told = browser.told("POST", f"/api/videos/{upload(browser, clip.read_bytes())}/line", STREAMS)
    line, bits = (next(one[name] for one in told if name in one) for name in ("line", "bits"))
    video = Video(clip)
    found = video.decompose(num_anchors=3, steps_per_interval=2)
    assert [one["frame"] for one in line["anchors"]] == [one.frame for one in found.anchors]
    assert [one["frames"] for one in line["intervals"]] == [one.frames.tolist() for one in found.intervals]
    assert bits["bits"] == video.spending(range(24), steps=0).bits.tolist()
    assert [one["stage"] for one in told if "stage" in one] == [
        "Reading motion and anchors",
        "Looking for cuts",
        "Counting bits",
    ]


def test_pictures_are_those_of_the_file(browser: Any, clip: Path) -> None:
    name = upload(browser, clip.read_bytes())
    assert browser.ask("GET", f"/api/videos/{name}/pictures?first=8")[0] == 409
    browser.told("POST", f"/api/videos/{name}/line", STREAMS)
    shown = browser.told("GET", f"/api/videos/{name}/pictures?first=16")["pictures"]
    assert [one["frame"] for one in shown] == list(range(16, 24))
    coded = np.frombuffer(base64.b64decode(shown[3]["picture"].partition(",")[2]), np.uint8)
    picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]
    own = cv2.resize(Video(clip).frames([19]).frames[0].image, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    assert float(np.abs(picture.astype(float) - own).mean()) < 5
    assert shown[3]["motion"] != shown[0]["motion"]


def test_a_question_is_answered_three_ways(browser: Any, clip: Path, session: Any) -> None:
    told = browser.told("POST", f"/api/videos/{upload(browser, clip.read_bytes())}/ask", QUESTION)
    answers = {one["column"]: one["answer"] for one in told if "answer" in one}
    assert list(answers) == ["motion", "anchors", "dense"]
    own = session.ask(clip, "Which way?", choices=["left", "right"], **STREAMS)
    assert answers["motion"]["tokens"] == own.tokens
    assert [one["probability"] for one in answers["motion"]["choices"]] == pytest.approx(
        [one.probability for one in own.choices], abs=1e-4
    )
    assert answers["dense"]["frames"] == 4
    gates = next(one["gates"] for one in told if "gates" in one)
    assert gates["times"] == [time for interval in own.video.intervals for time in interval.times]
    assert np.asarray(gates["shares"]).sum(-1) == pytest.approx(np.ones(len(gates["times"])), abs=1e-3)


def test_a_budget_is_what_prompts_cost(browser: Any, clip: Path) -> None:
    costs = {**STREAMS, "frames": 4, "question": "Which way?", "width": 160, "height": 128, "duration": 0.96}
    budget = browser.told("POST", "/api/budget", costs)
    assert budget["motion"]["total"] > budget["anchors"]["total"] > 0
    told = browser.told("POST", f"/api/videos/{upload(browser, clip.read_bytes())}/ask", {**QUESTION, "choices": []})
    answers = {one["column"]: one["answer"] for one in told if "answer" in one}
    assert {name: sum(one["tokens"].values()) for name, one in answers.items()} == {
        name: one["total"] for name, one in budget.items()
    }


@pytest.mark.parametrize("content", [b"no video at all", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"])
def test_a_bad_file_is_one_sentence(browser: Any, content: bytes) -> None:
    told = browser.told("POST", f"/api/videos/{upload(browser, content)}/line", STREAMS)
    said = told[-1]["error"]
    assert said.endswith(".")
    assert "himmel-serve" not in said


def test_browsers_do_not_meet(browser: Any, port: int, clip: Path) -> None:
    name = upload(browser, clip.read_bytes())
    other = type(browser)(port)
    assert other.ask("GET", "/")[0] == 200
    assert other.headers["cookie"] != browser.headers["cookie"]
    assert other.ask("POST", f"/api/videos/{name}/line", STREAMS)[0] == 404
    assert type(browser)(port).ask("POST", f"/api/videos/{name}/line", STREAMS)[0] == 403


def test_pages_on_two_ports_do_not_meet(browser: Any, other_port: int) -> None:
    other = type(browser)(other_port)
    assert other.ask("GET", "/")[0] == 200
    # A browser sends both cookies to both ports, and keeps one of each name.
    assert browser.headers["cookie"].partition("=")[0] != other.headers["cookie"].partition("=")[0]


def _unread(clip: Path, box: bytes) -> bytes:
    """The clip as another file, whose pictures are not kept yet: with an empty box at its end."""
    return clip.read_bytes() + (8).to_bytes(4, "big") + box


def test_who_looks_at_pictures_can_ask(browser: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = upload(browser, _unread(clip, b"free"))
    browser.told("POST", f"/api/videos/{name}/line", STREAMS)
    looks, go_on, read = threading.Semaphore(0), threading.Event(), looking.Lookers.look

    def slow(self: looking.Lookers, task: looking.Task) -> dict[str, Any]:
        looks.release()
        assert go_on.wait(60)
        return read(self, task)

    monkeypatch.setattr(looking.Lookers, "look", slow)
    with ThreadPoolExecutor(2) as pool:
        path = f"/api/videos/{name}/pictures?first="
        windows = [pool.submit(browser.ask, "GET", f"{path}{first}") for first in (0, 8)]
        try:
            assert all(looks.acquire(timeout=60) for _ in windows)
            status, said = browser.ask("POST", f"/api/videos/{name}/ask", QUESTION)
        finally:
            go_on.set()
        assert status == 200, said
        assert [one.result()[0] for one in windows] == [200, 200]


def test_pictures_are_read_once_for_all_browsers(browser: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = type(browser)(browser.port)
    assert other.ask("GET", "/")[0] == 200
    read, looked = looking.Lookers.look, []

    def counted(self: looking.Lookers, task: looking.Task) -> dict[str, Any]:
        looked.append(task)
        return read(self, task)

    names = []
    for one in (browser, other):
        names.append(upload(one, _unread(clip, b"skip")))
        one.told("POST", f"/api/videos/{names[-1]}/line", STREAMS)
    monkeypatch.setattr(looking.Lookers, "look", counted)
    asked = [(browser, names[0], 0), (other, names[1], 0), (browser, names[0], 8), (browser, names[0], 0)]
    told = [one.ask("GET", f"/api/videos/{name}/pictures?first={first}") for one, name, first in asked]
    assert [status for status, _ in told] == [200] * 4
    assert told[0] == told[1] == told[3] != told[2]
    assert len(looked) == 2


def test_a_browser_that_goes_away_ends_its_question(browser: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def ask(self: Any, asked: Any, medium: Any, tell: Any, given_up: threading.Event) -> None:
        tell({"stage": "Asking"})
        if given_up.wait(60):
            ended.set()

    monkeypatch.setattr("himmel.serving.studio.asking.Asking.ask", ask)
    path = f"/api/videos/{upload(browser, clip.read_bytes())}/ask"
    connection = HTTPConnection("127.0.0.1", browser.port, timeout=60)
    connection.request("POST", path, json.dumps(QUESTION), browser.headers)
    response = connection.getresponse()
    assert b"Asking" in response.readline()
    response.close()
    connection.close()
    assert ended.wait(60)


def test_an_upload_that_stalls_gives_its_place_back(hasty_port: int, browser: Any) -> None:
    slow = type(browser)(hasty_port)
    slow.ask("GET", "/")
    for _ in range(3):
        connection = HTTPConnection("127.0.0.1", hasty_port, timeout=60)
        connection.putrequest("POST", "/api/videos")
        for name, value in {**slow.headers, "content-length": "1000"}.items():
            connection.putheader(name, value)
        connection.endheaders(b"ten bytes.")
        response = connection.getresponse()
        assert response.status == 408
        assert "Sending the video took more than 0.3 seconds" in json.loads(response.read())["error"]
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"x_himmel_studio": "0"},
    ],
)
def test_other_sites_are_refused(browser: Any, headers: dict[str, str]) -> None:
    status, said = browser.ask("POST", "/api/videos", b"x", **headers)
    assert status == 403
    assert json.loads(said)["error"].endswith(".")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_anchors": 65}, "Num anchors"),
        ({"question": ""}, "Question"),
        ({"method": "magic"}, "Method"),
        ({"other": 1}, "Other"),
    ],
)
def test_settings_out_of_range_are_one_sentence(browser: Any, clip: Path, changed: dict[str, Any], said: str) -> None:
    status, answer = browser.ask("POST", f"/api/videos/{upload(browser, clip.read_bytes())}/ask", QUESTION | changed)
    assert status == 400
    assert json.loads(answer)["error"].startswith(said)
