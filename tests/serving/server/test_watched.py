"""Questions about watched streams: a file that grows, HTTP that is lost and comes back, and HLS, all on loopback."""

import http.server
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from himmel.errors import UsageError
from himmel.methods.session import Session
from himmel.serving.server import watched
from himmel.serving.server.app import Settings
from himmel.serving.server.limits import Limits
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.spool import Stored
from himmel.serving.server.watched import Watched, Window, read_watched
from himmel.video import Video
from himmel.video.live import LiveSpan
from live_sources import growing, http_server, send
from serving_live import Live, running

Encode = Callable[..., Path]
MORNING = datetime(2026, 11, 27, 8)


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that were lost are tried again at once."""
    monkeypatch.setattr(watched, "_AGAIN", 0.1)
    monkeypatch.setattr(watched, "_LOOK", 0.05)


@pytest.fixture
def recording(encode_clip: Encode) -> bytes:
    """Six seconds of MPEG-TS, a keyframe each second."""
    return encode_clip("a.ts", num_frames=150, options={"g": "25"}).read_bytes()


@contextmanager
def following(source: object, folder: Path, **limits: Any) -> Iterator[Watched]:
    found = Watched({"door": str(source)}, Limits(**{"watch_patience": 1.0, **limits}), folder)
    found.start()
    try:
        yield found
    finally:
        found.close()
        assert list(folder.iterdir()) == []


def until(found: Watched, state: str) -> dict[str, Any]:
    """The stream once it is in a state."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        (now,) = found.describe()
        if now["state"] == state:
            return now
        time.sleep(0.05)
    raise AssertionError(now)


def test_names_and_sources_are_told_apart() -> None:
    wanted = {"door": "rtsp://camera.local/a=b", "yard-2": "later.ts"}
    assert read_watched([f"{name}={source}" for name, source in wanted.items()]) == wanted
    for bad in ("door", "=a.ts", "door=", "front door=a.ts", "a/b=c.ts", f"{65 * 'a'}=c.ts"):
        with pytest.raises(UsageError, match="NAME=SOURCE"):
            read_watched([bad])
    with pytest.raises(UsageError, match="two streams 'door'"):
        read_watched(["door=a.ts", "door=b.ts"])
    with pytest.raises(UsageError, match="cannot be watched"):
        read_watched(["door=gopher://camera.local"])


@pytest.mark.parametrize(
    ("start", "end", "stretch"),
    [
        (None, None, (None, None)),
        (110.0, 130.0, (10.0, 30.0)),
        (-20.0, None, (40.0, None)),
        (-20.0, -10.0, (40.0, 50.0)),
        (None, -10.0, (None, 50.0)),
        (-50.0, 115.0, (10.0, 15.0)),
        (0.0, 110.0, (None, 10.0)),
        (-600.0, None, (None, None)),
        (150.0, 900.0, (50.0, None)),
    ],
)
def test_stretches_are_named_by_the_streams_times_or_seconds_back(
    start: float | None, end: float | None, stretch: tuple[float | None, float | None]
) -> None:
    window = Window(Stored(Path("a"), "", 0), LiveSpan(100.0, 160.0, MORNING, MORNING))
    assert window.stretch(start, end) == stretch


@pytest.mark.parametrize(("start", "end"), [(160.0, None), (None, 100.0), (10.0, 90.0), (None, -60.0), (130.0, -30.0)])
def test_a_stretch_outside_the_window_is_refused(start: float | None, end: float | None) -> None:
    window = Window(Stored(Path("a"), "", 0), LiveSpan(100.0, 160.0, MORNING, MORNING))
    with pytest.raises(Refusal, match=r"100\.0 to 160\.0 s are, or those from -60\.0 to 0 s"):
        window.stretch(start, end)


def test_a_recording_that_ended_can_be_asked_about_still(
    recording: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "_FRESH", math.inf)
    (tmp_path / "a.ts").write_bytes(recording)
    with following(tmp_path / "a.ts", tmp_path / "copies", watch_seconds=3.0) as found:
        now = until(found, "ended")
        assert now["id"] == "live:door"
        assert now["pictures"] == 150
        with found.window("door") as one, found.window("door") as other:
            # Who comes at once shares a copy.
            assert one is other
            video = Video(one.file.path)
            assert video.sha256 == one.file.sha256
            assert 3 <= video.duration <= 4.1
            assert one.span.end == pytest.approx(6, abs=0.1)
        assert not one.file.path.exists()
        with found.window("door") as later:
            assert later.file.path.exists()
        with pytest.raises(Refusal) as refused, found.window("window"):
            pass
        assert (refused.value.status, refused.value.code) == (404, "no_such_stream")


def test_copies_are_bounded(recording: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "_FRESH", 0.0)
    (tmp_path / "a.ts").write_bytes(recording)
    with following(tmp_path / "a.ts", tmp_path / "copies") as found:
        size = until(found, "ended")["bytes"]
    with following(tmp_path / "a.ts", tmp_path / "copies", spool_bytes=size * 6 // 5) as found:
        until(found, "ended")
        with found.window("door"):
            with pytest.raises(Refusal, match="Too many requests hold copies") as refused, found.window("door"):
                pass
            assert (refused.value.status, refused.value.code) == (503, "no_room")
        with found.window("door"):
            pass


def test_a_lost_stream_is_one_sentence_and_comes_back(recording: bytes, tmp_path: Path) -> None:
    there = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if not there.is_set():
            handler.send_error(503)
            return
        send(handler, recording)

    with http_server(answer) as address, following(f"{address}/secret.ts", tmp_path / "copies") as found:
        for _ in range(2):
            lost = until(found, "lost")
            with pytest.raises(Refusal) as refused, found.window("door"):
                pass
            assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, "stream_lost", 5)
            assert refused.value.said.startswith("The stream 'door' cannot be asked about now: ")
            assert "secret" not in refused.value.said + str(lost)
            there.set()
            until(found, "running")
            with found.window("door") as window:
                assert Video(window.file.path).num_frames > 0
            there.clear()


@pytest.fixture(scope="module")
def served(session: Session, write_clip: Encode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server that watches a file that grows, and a playlist on loopback."""
    pytest.importorskip("openai", reason="openai of the extra 'api' is not installed")
    folder = tmp_path_factory.mktemp("watched")
    data = write_clip(folder / "a.ts", num_frames=150, options={"g": "25"}).read_bytes()
    options = {"hls_time": "1", "hls_list_size": "0"}
    write_clip(
        folder / "a.m3u8", num_frames=100, options={"g": "25"}, container_format="hls", container_options=options
    )

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        part = (folder / handler.path.lstrip("/")).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(part)))
        handler.end_headers()
        handler.wfile.write(part)

    limits = Limits(workers=1, watch_seconds=60.0, watch_patience=60.0)
    with growing(folder / "secret.ts", data, seconds=3.0) as path, http_server(answer) as address:
        watch = {"door": str(path), "yard": f"{address}/a.m3u8"}
        with running(session, Settings(limits=limits, spool=folder / "spool", watch=watch, threads=1), folder) as found:
            yield found
    assert list((folder / "spool").iterdir()) == []


def _about(url: str, **stretch: float) -> list[dict[str, Any]]:
    question = {"type": "text", "text": "Which way does it move?"}
    return [{"type": "video_url", "video_url": {"url": url, **stretch}}, question]


def _list(live: Live) -> list[dict[str, Any]]:
    with live.client() as client:
        return client.get("/live", cast_to=dict[str, Any])["data"]


def _wait(live: Live, number: int, until: Callable[[dict[str, Any]], bool]) -> None:
    end = time.monotonic() + 120
    while not until(_list(live)[number]):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_the_official_client_asks_about_a_file_that_grows(served: Live, session: Session) -> None:
    import openai

    _wait(served, 0, lambda now: "window" in now)
    held = session._reads.held, session._inputs.held
    first = served.ask(_about("live:door"))
    window = first.himmel["window"]
    assert first.himmel["video"]["duration"] == pytest.approx(window["end"] - window["start"], abs=0.1)
    _wait(served, 0, lambda now: now["pictures"] == 150)
    last = served.ask(_about("live:door", start=-2.0, end=-1.0))
    assert last.himmel["window"]["end"] == pytest.approx(6.0, abs=0.1)
    assert last.himmel["video"]["duration"] == pytest.approx(1.0, abs=0.1)
    assert last.himmel["video"]["sha256"] != first.himmel["video"]["sha256"]
    chunks = served.ask(_about("live:door", start=1.0, end=3.0), stream=True)
    assert chunks[-1].himmel["window"]["start"] == 0.0
    # What is gone by the next question is not kept.
    assert (session._reads.held, session._inputs.held) == held
    assert "secret" not in str(_list(served))
    for content, said in (
        (_about("live:garden"), "No stream 'garden' is watched"),
        (_about("live:door", start=90.0), "nothing is there"),
        (_about("live:door", start=-1.0, end=-2.0), "is empty"),
        (_about("data:video/mp4;base64,", start=-1.0), "those of live: alone"),
        ([{"type": "image_url", "image_url": {"url": "live:door"}}, *_about("live:door")[1:]], "by video_url"),
        ([*_about("live:door"), *_about("live:door", start=1.0)], "names one video"),
    ):
        with pytest.raises(openai.APIStatusError, match=said):
            served.ask(content)


@pytest.mark.slow
def test_questions_at_once_about_a_playlist(served: Live) -> None:
    _wait(served, 1, lambda now: now["state"] == "ended")
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(lambda _: served.ask(_about("live:yard")), range(3)))
    assert {reply.himmel["window"]["end"] for reply in replies} == {4.0}
    assert len({reply.choices[0].message.content for reply in replies}) == 1
