"""`himmel view`."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import pytest

Run = Callable[..., tuple[int, str, str]]
Encode = Callable[..., Path]


def test_a_picture_of_a_stretch_has_the_times_of_the_video(run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    """Matplotlib writes texts of an SVG as comments before their outlines."""
    clip, output = encode_clip("a.mp4"), tmp_path / "strip.svg"
    code, out, err = run("view", clip, "-o", output, "--start", "0.8", "--end", "1.2", "--anchors", "1", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["video"], told["output"], told["backend"]) == (str(clip), str(output), "bitstream")
    assert (told["start"], told["end"]) == pytest.approx((0.8, 1.2))
    drawn = output.read_text()
    assert "<!-- 0:00.8  exact -->" in drawn
    assert "<!-- 9 steps, 0:00.8 to 0:01.2 -->" in drawn
    assert "0.4 s from 0:00.8 on" in drawn
    for unit in ("px a frame", "luma RMS"):
        assert unit in drawn


def test_the_conditions_are_drawn_with_their_keys(run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    clip, output = encode_clip("a.mp4", num_frames=64, options={"g": "8"}), tmp_path / "strips.svg"
    code, out, _ = run("view", clip, "-o", output, "--conditions", "--start", "0.64")
    assert code == 0
    assert "what 5 conditions show" in out
    drawn = output.read_text()
    for text in ("MV4  ", "R8  ", "I8  ", "of the width a second", "code values", "I1  0:00.6"):
        assert text in drawn
    code, out, _ = run("view", clip, "-o", output, "--condition", "B")
    assert code == 0
    assert "of the width a second" in output.read_text()
    assert "code values" not in output.read_text()


def test_a_page_and_a_video_are_what_their_names_say(run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    clip = encode_clip("a.mp4", num_frames=20)
    code, out, _ = run("view", clip, "-o", tmp_path / "a.html", "--anchors", "2", "--steps", "3")
    assert code == 0
    assert "a page of 8 moments in 2 intervals" in out
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    code, out, _ = run("view", clip, "-o", tmp_path / "b.mp4", "--json")
    told = json.loads(out)
    assert (code, told["pictures"], told["pictures_without_maps"], told["cuts"]) == (0, 20, 0, [])
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20


@pytest.mark.parametrize("name", ["a.png", "a.html", "a.mp4"])
def test_one_picture_is_enough(name: str, run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    clip = encode_clip("one.mp4", num_frames=1)
    assert run("view", clip, "-o", tmp_path / name)[0] == 0
    assert (tmp_path / name).stat().st_size > 1000


def test_a_small_strip_can_be_read_by_pixels(run: Run, encode_clip: Encode, pan: Callable, tmp_path: Path) -> None:
    """Everything moves right: the motion row is red, and neither of the other rows is."""
    clip = encode_clip("a.mp4", list(pan(24, (192, 128), (4, 0))), options={"bf": "0"})
    assert run("view", clip, "-o", tmp_path / "a.png", "--anchors", "1")[0] == 0
    hsv = cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2HSV)
    rows, columns = hsv.shape[:2]
    red = ((hsv[..., 0] < 8) | (hsv[..., 0] > 172)) & (hsv[..., 1] > 170) & (hsv[..., 2] > 170)
    by_row = red[:, : columns // 2].mean(axis=1)
    # The title is above three rows of one height.
    assert by_row.argmax() == pytest.approx(0.55 * rows, abs=0.2 * rows)
    assert by_row[int(0.5 * rows) : int(0.6 * rows)].min() > 0.3
    assert by_row[int(0.75 * rows) :].max() < 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-o", "a.gif"), "'a.gif' does not say what to draw; let its name end in .png"),
        (("-o", "a"), "'a' does not say what to draw"),
        (("-o", "nowhere/a.png"), "name a folder that exists"),
        (("-o", "a.mp4", "--anchors", "3"), "--anchors cannot be combined with a .mp4 file"),
        (("-o", "a.png", "--conditions", "--steps", "3"), "--steps cannot be combined with --conditions"),
        (("-o", "a.html", "--conditions"), "Conditions are drawn as a picture, and 'a.html' is none"),
        (("-o", "a.png", "--start", "9"), "start=9.0, end=None is no stretch of this video; it lasts 0.400 seconds."),
        (("-o", "a.mp4", "--start", "0.3", "--end", "0.2"), "start=0.3, end=0.2 is no stretch"),
        (("-o", "a.html", "--start", "nan"), "greater than or equal to 0"),
        (("-o", "a.html", "--anchors", "64", "--steps", "16"), "more than the 1024 moments that a page can hold"),
        (("-o", "clip.mp4"), "'clip.mp4' is the video itself; name another file."),
        ((), "'--output'"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_sentence(
    options: tuple[str, ...], said: str, run: Run, encode_clip: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = encode_clip("clip.mp4", num_frames=10)
    before = clip.read_bytes()
    monkeypatch.chdir(tmp_path)
    code, out, err = run("view", clip, *options)
    assert (code, out) == (2, "")
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == [clip]
    assert clip.read_bytes() == before
