"""RTSP: pictures as they are sent, and what becomes of cameras that hang up, fall silent or come back changed."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from himmel.errors import VideoError
from himmel.video import LiveVideo, Video
from rtsp_server import Sender, read_units, rtsp_server

Encode = Callable[..., Path]
OPTIONS = {"g": "25", "bf": "2"}


def test_pictures_are_those_that_were_sent(encode_clip: Encode) -> None:
    path = encode_clip("a.ts", num_frames=75, options=OPTIONS)
    sent = read_units(path)
    done = threading.Event()

    def play(number: int, send: Sender) -> None:
        send(sent)
        # FFmpeg hands a picture on when the next one begins.
        done.wait(20)

    with rtsp_server(sent, play) as address, LiveVideo(address, patience=20) as live:
        while live.state.pictures < 74:
            time.sleep(0.02)
        window = live.window()
        assert "secret" not in repr(live)
        assert live.is_remote
        done.set()
    whole = Video(path)
    assert (window.codec, window.num_frames) == ("h264", 74)
    np.testing.assert_allclose(np.diff(window.times[:70]), 0.04, atol=2e-4)
    for mine, theirs in zip(window.images(), list(whole.images())[:70], strict=False):
        np.testing.assert_array_equal(mine, theirs)


def test_a_camera_that_hangs_up_is_connected_to_again(encode_clip: Encode) -> None:
    """It comes back with its clock at 0, and other parameter sets, which are in the stream alone."""
    first = read_units(encode_clip("a.ts", num_frames=50, options=OPTIONS))
    second = read_units(encode_clip("b.ts", num_frames=50, options={**OPTIONS, "profile": "baseline", "bf": "0"}))

    def play(number: int, send: Sender) -> None:
        send(first if number == 1 else second)

    with rtsp_server(first, play) as address, LiveVideo(address, patience=8) as live:
        notices = live.events(motion=False)
        words = [next(notices).words for _ in range(2)]
        window = live.window()
        assert live.state.connections >= 2
    assert all("The connection was lost" in said for said in words)
    assert window.num_frames >= 98
    gaps = np.diff(window.times)
    # Half a second before it was tried again, and what connecting took.
    assert 0.4 < gaps.max() < 5
    assert np.median(gaps) == pytest.approx(0.04, abs=1e-3)
    assert window.decompose(num_anchors=3).num_damaged == 0


@pytest.mark.slow
def test_a_camera_that_falls_silent_is_given_up(encode_clip: Encode) -> None:
    pictures = read_units(encode_clip("a.ts", num_frames=50, options=OPTIONS))
    done = threading.Event()
    played = []

    def play(number: int, send: Sender) -> None:
        played.append(number)
        if number == 1:
            send(pictures)
        done.wait(60)

    with rtsp_server(pictures, play) as address, LiveVideo(address, patience=10) as live:
        with pytest.raises(VideoError, match=r"was lost \(.*\) and no picture has come for 10 s"):
            list(live.events(motion=False))
        # An attempt takes half the patience, so that there is time for one more.
        assert played == [1, 2]
        assert live.window().num_frames >= 49
        done.set()


def test_lost_packets_leave_the_rest(encode_clip: Encode) -> None:
    """Pictures that miss their references are damaged until the next keyframe; nothing fails."""
    pictures = read_units(encode_clip("a.ts", num_frames=150, options={"g": "25", "bf": "0"}))
    kept = [picture for k, picture in enumerate(pictures) if k % 50 not in (30, 31, 32)]
    done = threading.Event()

    def play(number: int, send: Sender) -> None:
        send(kept)
        done.wait(20)

    with rtsp_server(pictures, play) as address, LiveVideo(address, patience=20) as live:
        while live.state.pictures < len(kept) - 1:
            time.sleep(0.02)
        window = live.window()
        done.set()
    assert window.num_frames == len(kept) - 1
    assert len(window.decompose(num_anchors=4).anchors) == 4


@pytest.fixture
def package_server(encode_clip: Encode, tmp_path: Path) -> Iterator[str]:
    server = pytest.importorskip("aio_rtsp_toolkit.server", reason="needs an RTSP server: pip install aio-rtsp-toolkit")
    encode_clip("a.mp4", num_frames=75, options=OPTIONS)
    loop = asyncio.new_event_loop()
    running = server.RtspServer(tmp_path, host="127.0.0.1", port=0)
    loop.run_until_complete(running.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    port = running._server.sockets[0].getsockname()[1]
    yield f"rtsp://127.0.0.1:{port}/a.mp4"
    asyncio.run_coroutine_threadsafe(running.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_package_that_serves_rtsp(package_server: str) -> None:
    """An implementation of which nothing is ours."""
    with LiveVideo(package_server, patience=10) as live:
        notice = next(live.events(motion=False))
        window = live.window()
    assert "The connection was lost" in notice.words
    assert window.num_frames >= 70
    assert np.median(np.diff(window.times)) == pytest.approx(0.04, abs=1e-3)
