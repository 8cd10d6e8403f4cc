"""Questions about live video: the answers that a file with the same pictures gets."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import himmel
from himmel.errors import UsageError
from himmel.video import LiveVideo, Video
from tiny_hosts import build, nano_config

Encode = Callable[..., Path]


@pytest.fixture(scope="module")
def session(nano_folder: str) -> himmel.Session:
    model = build(nano_config(nano_folder, num_anchors=3, steps_per_interval=4)).model
    return himmel.Session(model)


def test_an_answer_is_that_of_the_file(session: himmel.Session, encode_clip: Encode) -> None:
    path = encode_clip("a.ts", num_frames=60, options={"g": "10"})
    whole = session.ask(path, "What moves?", max_new_tokens=4)
    with himmel.Watch(path, session=session, patience=0.3) as watch:
        assert list(watch.events(motion=False)) == []
        found = watch.ask("What moves?", max_new_tokens=4)
    assert (found.window.start, found.window.end) == (0, 2.4)
    answer = found.answer
    assert (answer.text, answer.tokens, answer.prompt_sha256) == (whole.text, whole.tokens, whole.prompt_sha256)
    assert answer.video.path == str(path)
    assert answer.video.intervals == whole.video.intervals
    assert answer.video.backend == "bitstream"


def test_questions_are_about_the_last_minutes(session: himmel.Session, encode_clip: Encode) -> None:
    path = encode_clip("a.ts", num_frames=250, options={"g": "20"})
    with himmel.Watch(path, session=session, patience=0.3, minutes=0.05) as watch:
        list(watch.events(motion=False))
        found = watch.ask("Which?", choices=["left", "right"])
    assert (found.window.start, found.window.end) == (6.4, 10)
    assert (found.answer.video.num_frames, found.answer.video.duration) == (90, pytest.approx(3.6))
    assert {choice.text for choice in found.answer.choices} == {"left", "right"}


def test_questions_while_the_stream_goes_on(session: himmel.Session, encode_clip: Encode, tmp_path: Path) -> None:
    """From another thread, while this one reads events; nothing that was read for a question is kept."""
    options = {"hls_time": "1", "hls_list_size": "0"}
    whole = encode_clip(
        "a.m3u8", num_frames=200, options={"g": "10"}, container_format="hls", container_options=options
    )
    lines = whole.read_text().splitlines(keepends=True)
    head = lines.index(next(line for line in lines if line.startswith("#EXTINF")))
    path = tmp_path / "live.m3u8"
    # Its first three segments: where there are more, FFmpeg begins three before the last.
    path.write_text("".join(lines[: head + 6]))
    ends: list[float] = []
    held = session._reads.held, session._inputs.held
    with LiveVideo(path, patience=3600) as live, himmel.Watch(live, session=session) as watch:

        def ask() -> None:
            ends.append(watch.ask("What moves?", max_new_tokens=2).window.end)
            fresh = tmp_path / "fresh"
            fresh.write_text(whole.read_text())
            fresh.replace(path)
            while live.state.pictures < 200:
                threading.Event().wait(0.02)
            ends.append(watch.ask("What moves?", max_new_tokens=2).window.end)

        asking = threading.Thread(target=ask)
        asking.start()
        events = list(watch.events())
        asking.join()
    assert [event.kind for event in events] == ["camera"]
    assert 0 < ends[0] < ends[1] == 8
    assert (session._reads.held, session._inputs.held) == held


def test_a_question_that_cannot_be_asked(session: himmel.Session, encode_clip: Encode) -> None:
    watch = himmel.Watch(encode_clip("a.ts"), session=session, patience=0.3)
    with watch, pytest.raises(UsageError, match="question is empty"):
        watch.ask(" ")


def test_the_window_can_be_saved(encode_clip: Encode, tmp_path: Path) -> None:
    with LiveVideo(encode_clip("a.ts", num_frames=50, options={"g": "10"}), patience=0.3) as live:
        list(live.events(motion=False))
        span = live.save(tmp_path / "window.nut")
        with pytest.raises(himmel.errors.HimmelError, match="folder that exists"):
            live.save(tmp_path / "nowhere" / "window.nut")
    assert (span.start, span.end) == (0, 2)
    assert Video(tmp_path / "window.nut").num_frames == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ts", "window.nut"]
