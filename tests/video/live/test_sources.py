"""Files that grow, playlists and HTTP: what is kept of them is what an ordinary reading of the whole gives."""

import http.server
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel.errors import UsageError, VideoError
from himmel.video import LiveEvent, LiveVideo, Video
from live_sources import growing, http_server, send

Encode = Callable[..., Path]
PATIENCE = 0.6


def assert_equal(found: Video, whole: Video) -> None:
    np.testing.assert_allclose(found.times, whole.times, atol=2e-5)
    one, other = (video.decompose(num_anchors=3, steps_per_interval=3) for video in (found, whole))
    assert (one.backend, one.codec) == (other.backend, other.codec)
    for mine, theirs in zip(one.anchors, other.anchors, strict=True):
        np.testing.assert_array_equal(mine.image, theirs.image)
    for mine, theirs in zip(one.intervals, other.intervals, strict=True):
        np.testing.assert_array_equal(mine.maps.past, theirs.maps.past)
        np.testing.assert_array_equal(mine.maps.residual, theirs.maps.residual)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.ts", "libx264", {"g": "10", "bf": "2"}),
        ("a.flv", "libx264", {"g": "10", "bf": "2"}),
        ("a.mkv", "libx264", {"g": "10"}),
        ("b.ts", "libx265", {"x265-params": "log-level=none:keyint=10"}),
        ("c.ts", "mpeg2video", {"g": "10", "bf": "2"}),
        ("d.ts", "mpeg4", {"g": "10"}),
        ("e.webm", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}),
        ("f.mkv", "mjpeg", {}),
    ],
)
def test_a_window_reads_as_the_file_does(name: str, codec: str, options: dict[str, str], encode_clip: Encode) -> None:
    path = encode_clip(name, codec=codec, options=options, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p")
    with LiveVideo(path, patience=PATIENCE) as live:
        assert list(live.events(motion=False)) == []
        window = live.window()
    whole = Video(path)
    assert window.start == 0
    assert_equal(window, whole)


def test_a_fragmented_mp4_is_read_as_it_grows(encode_clip: Encode, tmp_path: Path) -> None:
    flags = {"movflags": "frag_keyframe+empty_moov"}
    path = encode_clip("a.mp4", options={"g": "10"}, container_options=flags)
    with growing(tmp_path / "b.mp4", path.read_bytes()) as grows, LiveVideo(grows, patience=5) as live:
        list(live.events(motion=False))
        assert_equal(live.window(), Video(path))


def test_a_file_that_grows_is_followed(encode_clip: Encode, tmp_path: Path) -> None:
    path = encode_clip("a.ts", num_frames=250, options={"g": "25"})
    data = path.read_bytes()
    grows = tmp_path / "b.ts"
    grows.write_bytes(data[: len(data) // 2])
    with LiveVideo(grows, patience=5) as live:
        began = live.state
        assert began.running
        assert began.end < 9
        with grows.open("ab") as file:
            file.write(data[len(data) // 2 :])
        events = list(live.events())
        assert (live.state.end, live.state.pictures, live.state.running) == (10.0, 250, False)
        assert_equal(live.window(), Video(path))
    assert [(event.kind, event.start, event.end) for event in events] == [("camera", 0.0, 10.0)]
    assert "pans left" in events[0].words


def test_a_shortened_file_is_begun_again(encode_clip: Encode, tmp_path: Path) -> None:
    data = encode_clip("a.ts", num_frames=50, options={"g": "25"}).read_bytes()
    path = tmp_path / "b.ts"
    path.write_bytes(data)
    with LiveVideo(path, patience=5) as live:
        notices = live.events(motion=False)
        path.write_bytes(data[:188])
        assert "the file was shortened" in next(notices).words
        path.write_bytes(data)
        assert [event.words for event in notices] == []
        assert live.state.pictures == 100
        window = live.window()
    assert window.num_frames == 100
    assert window.duration == pytest.approx(4, abs=1.5)
    assert (np.diff(window.times) > 0).all()


@pytest.mark.parametrize("remote", [False, True])
def test_a_playlist_is_followed_to_its_end(remote: bool, encode_clip: Encode, tmp_path: Path) -> None:
    options = {"hls_time": "1", "hls_list_size": "0"}
    path = encode_clip("a.m3u8", num_frames=150, options={"g": "25"}, container_format="hls", container_options=options)
    whole = Video(path)
    lines = path.read_text().splitlines()
    head = lines.index(next(line for line in lines if line.startswith("#EXTINF")))

    def publish(segments: int, *, ended: bool) -> None:
        text = [*lines[: head + 2 * segments], *(["#EXT-X-ENDLIST"] if ended else [])]
        fresh = tmp_path / "fresh"
        fresh.write_text("\n".join(text) + "\n")
        fresh.replace(tmp_path / "live.m3u8")

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        data = (tmp_path / handler.path[1:]).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    publish(3, ended=False)
    with http_server(answer) as address:
        source = f"{address}/live.m3u8" if remote else tmp_path / "live.m3u8"
        with LiveVideo(source, patience=120) as live:
            assert live.state.running
            publish(6, ended=True)
            list(live.events(motion=False))
            assert_equal(live.window(), whole)


@pytest.mark.slow
def test_a_playlist_that_stood_still_goes_on(encode_clip: Encode, tmp_path: Path) -> None:
    """After that it is opened again, and what it still lists was there before."""
    options = {"hls_time": "1", "hls_list_size": "0"}
    path = encode_clip("a.m3u8", num_frames=150, options={"g": "25"}, container_format="hls", container_options=options)
    whole, text = Video(path), path.read_text()
    lines = text.splitlines()
    live_list = tmp_path / "live.m3u8"
    head = lines.index(next(line for line in lines if line.startswith("#EXTINF")))
    live_list.write_text("\n".join(lines[: head + 6]) + "\n")
    with LiveVideo(live_list, patience=6) as live:
        notices = live.events(motion=False)
        assert "The connection was lost (it is silent)" in next(notices).words
        fresh = tmp_path / "fresh"
        fresh.write_text(text)
        fresh.replace(live_list)
        assert list(notices) == []
        assert live.state.connections == 2
        assert_equal(live.window(), whole)


def test_http_is_followed_and_connected_to_again(encode_clip: Encode) -> None:
    """Each connection gets the same two seconds, after which the server hangs up; the third one is refused for good."""
    data = encode_clip("a.ts", num_frames=50, options={"g": "25"}).read_bytes()
    asked = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if len(asked) > 2:
            live._reader._patience = 0
            handler.send_error(503)
        else:
            send(handler, data)

    begin = time.monotonic()
    with http_server(answer) as address, LiveVideo(f"{address}/live.ts", patience=60) as live:
        told: list[LiveEvent] = []
        with pytest.raises(VideoError, match=r"was lost \(.*\) and no picture has come for 0 s"):
            told.extend(live.events())
        assert ["trying again" in event.words for event in told if event.kind == "notice"] == [True, True]
        assert (live.state.pictures, live.state.connections) == (100, 2)
        window = live.window()
    # The half second before the second connection is part of the time.
    assert 4.3 < window.duration < 4 + time.monotonic() - begin
    assert window.num_frames == 100


def test_a_stream_may_be_joined_long_before_its_next_keyframe(encode_clip: Encode) -> None:
    """Where a broadcast is joined, nothing tells the pictures' size before a keyframe comes."""
    data = encode_clip("a.ts", num_frames=500, options={"g": "240", "bf": "0"}).read_bytes()
    joined = data[: 3 * 188] + data[20 * 188 :]
    server = http_server(lambda handler: send(handler, joined))
    with server as address, LiveVideo(f"{address}/live.ts", patience=60) as live:
        window = live.window()
    assert window.keyframes[0] == 0


def test_a_silent_server_is_given_up(encode_clip: Encode) -> None:
    held = threading.Event()
    with http_server(lambda handler: bool(held.wait(20))) as address:
        with pytest.raises(VideoError, match=r"cannot be watched \(it is silent\)"):
            LiveVideo(f"{address}/live.ts", patience=0.5)
        held.set()


def test_an_address_that_refuses_is_one_sentence() -> None:
    with http_server(lambda handler: handler.send_error(404)) as address:
        secret = address.replace("//", "//someone:secret@")
        with pytest.raises(VideoError) as caught:
            LiveVideo(f"{secret}/live.ts", patience=60)
        assert str(caught.value).startswith(f"'{address}/live.ts' cannot be watched (")
        assert "404" in str(caught.value)


def test_a_playlist_of_the_network_reads_no_file_here(encode_clip: Encode) -> None:
    path = encode_clip("a.ts")
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{path}\n#EXT-X-ENDLIST\n"

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/vnd.apple.mpegurl")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text.encode())

    with http_server(answer) as address, pytest.raises(VideoError, match="cannot be watched") as caught:
        LiveVideo(f"{address}/live.m3u8", patience=60)
    assert "silent" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("nowhere.ts", VideoError, "There is no file 'nowhere.ts'"),
        (".", VideoError, "is a folder"),
        ("x" * 5000, VideoError, "is too long for a path"),
        ("gopher://x/y", UsageError, "himmel follows files and addresses that begin with http://"),
        (7, UsageError, "7 is nothing that can be watched"),
    ],
)
def test_what_cannot_be_followed(source: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        LiveVideo(source, patience=0.2)


def test_an_empty_file_that_does_not_grow(tmp_path: Path) -> None:
    (tmp_path / "a.ts").touch()
    with pytest.raises(VideoError, match="has no pictures yet and does not grow"):
        LiveVideo(tmp_path / "a.ts", patience=0.2)


def test_a_file_whose_index_comes_last(encode_clip: Encode) -> None:
    # Larger than what FFmpeg looks at first.
    path = encode_clip("a.mp4", size=(320, 240), options={"qp": "10"})
    assert path.stat().st_size > 2**16
    with pytest.raises(VideoError, match="let the recorder write MPEG-TS"):
        LiveVideo(path, patience=0.2)


@pytest.mark.parametrize(
    ("name", "value"), [("minutes", 0), ("megabytes", 0), ("patience", "long"), ("options", {"a": 1})]
)
def test_arguments_are_checked(name: str, value: object, encode_clip: Encode) -> None:
    with pytest.raises(UsageError):
        LiveVideo(encode_clip("a.ts"), **{name: value})


def test_a_playlist_that_is_gone_comes_back_with_its_clock_anew(encode_clip: Encode, tmp_path: Path) -> None:
    """Its encoder was started again: other pictures have times that were there before."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        options = {"g": "25", "crf": "20" if name == "first" else "30"}
        listed = {"hls_time": "1", "hls_list_size": "0"}
        path = encode_clip(
            f"{name}/a.m3u8", num_frames=75, options=options, container_format="hls", container_options=listed
        )
        path.write_text(path.read_text().replace("#EXT-X-ENDLIST\n", ""))
    served = ["first"]

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        path = tmp_path / served[-1] / handler.path[1:]
        if not path.is_file():
            handler.send_error(404)
            return
        data = path.read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def wait_for(pictures: int) -> None:
        while live.state.pictures < pictures:
            assert live.state.running, live.failure
            time.sleep(0.02)

    # Where the last pictures end is told by what follows, so that they come when their list is gone or has ended.
    with http_server(answer) as address, LiveVideo(f"{address}/a.m3u8", patience=120) as live:
        wait_for(70)
        served.append("nothing")
        notice = next(live.events(motion=False))
        assert "The connection was lost (its list cannot be read)" in notice.words
        assert live.state.pictures == 75
        served.append("second")
        wait_for(75 + 70)
        with path.open("a") as file:
            file.write("#EXT-X-ENDLIST\n")
        assert list(live.events(motion=False)) == []
        window = live.window()
    assert window.num_frames == 150
    assert (np.diff(window.times) > 0).all()


def test_a_recording_on_the_web_that_breaks_off_is_not_told_twice(encode_clip: Encode) -> None:
    """The server can't be sought in, but tells how many bytes there are."""
    data, asked = encode_clip("a.ts", num_frames=100, options={"g": "25"}).read_bytes(), []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data if len(asked) > 1 else data[: len(data) * 3 // 5])

    with http_server(answer) as address, LiveVideo(f"{address}/a.ts", patience=120) as live:
        (notice,) = live.events(motion=False)
        assert "The connection was lost" in notice.words
        window = live.window()
    assert len(asked) == 2
    # From the break to the next keyframe nothing can be decoded.
    assert 60 <= window.num_frames <= 100
    assert window.duration == pytest.approx(4)
    assert (window.times * 25).tolist() == pytest.approx((window.times * 25).round().tolist(), abs=1e-3)
    assert len(set((window.times * 25).round())) == window.num_frames
