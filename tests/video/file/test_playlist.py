"""Local playlists: whole ones are read, and nothing is waited for."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from himmel.errors import VideoError
from himmel.video import Video

Encode = Callable[..., Path]
END = "#EXT-X-ENDLIST"


@pytest.fixture
def playlist(encode_clip: Encode) -> Path:
    """Four segments of a second each."""
    options = {"hls_time": "1", "hls_list_size": "0"}
    return encode_clip("a.m3u8", num_frames=100, options={"g": "25"}, container_format="hls", container_options=options)


def test_a_whole_playlist_is_read(playlist: Path) -> None:
    video = Video(playlist)
    assert (video.num_frames, video.duration, video.notes) == (100, 4.0, ())
    assert [anchor.frame for anchor in video.decompose(num_anchors=4).anchors] == [0, 25, 50, 75]


@pytest.mark.parametrize("through_a_master", [False, True])
def test_a_playlist_without_an_end_is_refused_at_once(through_a_master: bool, playlist: Path, tmp_path: Path) -> None:
    live = tmp_path / "live.m3u8"
    live.write_text(playlist.read_text().replace(END, ""))
    master = tmp_path / "master.m3u8"
    master.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nlive.m3u8\n")
    taken = [math.inf]
    while min(taken) >= 1 and len(taken) < 4:
        began = time.monotonic()
        with pytest.raises(VideoError) as caught:
            Video(master if through_a_master else live)
        taken.append(time.monotonic() - began)
    assert min(taken) < 1, taken
    assert str(caught.value) == (
        f"{str(live)!r} is the playlist of a broadcast that is still running; if it has ended, add a last"
        f" line '{END}' to it."
    )
    live.write_text(live.read_text() + f"\n{END}\n")
    assert Video(master).num_frames == 100


def test_a_manifest_of_a_broadcast_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.mpd"
    path.write_text('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"\n type="dynamic">\n</MPD>\n')
    with pytest.raises(VideoError, match="broadcast that is still running"):
        Video(path)


@pytest.mark.parametrize(
    ("name", "codec", "options", "call"),
    [
        # Walked packet by packet.
        ("a.mkv", "libx264", {"preset": "ultrafast"}, "Video(path)"),
        # Its order is read from slice headers.
        ("a.avi", "libx264", {"preset": "ultrafast", "bf": "2"}, "Video(path)"),
        ("a.mkv", "libx264", {"preset": "ultrafast"}, "video.decompose(backend='libav', accumulate=True)"),
        ("a.mkv", "libx264", {"preset": "ultrafast"}, "video.decompose(backend='proxy', steps_per_interval=500)"),
    ],
)
def test_an_interrupt_is_obeyed_within_two_seconds(
    name: str, codec: str, options: dict, call: str, encode_clip: Encode
) -> None:
    path = encode_clip(name, "still", codec=codec, options=options, num_frames=600, size=(320, 240))
    code = (
        "import sys\nfrom himmel.video import Video\npath = sys.argv[1]\nvideo = Video(path)\n"
        f"print('ready', flush=True)\nwhile True: {call}"
    )
    # Other processes may hold up this one for seconds once, but not three times in a row.
    taken = [math.inf]
    while min(taken) >= 2 and len(taken) < 4:
        taken.append(_seconds_to_end(code, path))
    assert min(taken) < 2, taken


def _seconds_to_end(code: str, path: Path) -> float:
    """From the signal to the end of the process, which says that it was interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        taken = time.monotonic() - began
        assert process.stderr is not None
        assert b"KeyboardInterrupt" in process.stderr.read()
        return taken
    finally:
        process.kill()
        process.wait()
