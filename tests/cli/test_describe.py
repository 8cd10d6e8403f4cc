"""`himmel describe`."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Run = Callable[..., tuple[int, str, str]]
Encode = Callable[..., Path]


def test_what_moves_is_printed_with_what_was_read(run: Run, encode_clip: Encode) -> None:
    """The content of the clip goes right and down."""
    code, out, _ = run("describe", encode_clip("a.mp4"))
    assert code == 0
    first, second = out.splitlines()[:2]
    assert first == "Motion in the video (1.6 s; % are of the picture's width or height):"
    assert second.startswith("0.0-1.6 s: the camera pans left by 3")
    assert "and tilts up by" in second
    assert "bitstream (the H.264 stream is parsed without decoding)" in " ".join(out.split())


def test_json_has_numbers_and_words(run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    path, picture = encode_clip("a.mp4"), tmp_path / "line.svg"
    code, out, err = run("describe", path, "--json", "--picture", picture, "--per-second", "25", "--backend", "libav")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["backend"], told["num_frames"], told["path"], told["picture"]) == (
        "libav",
        40,
        str(path),
        str(picture),
    )
    (segment,) = told["camera"]
    # 2 of 160 pixels to the right and 1 of 128 down, 25 times a second.
    assert segment["motion"]["pan"] == pytest.approx(-31.25, abs=1.5)
    assert segment["motion"]["tilt"] == pytest.approx(19.5, abs=1.5)
    assert told["text"].startswith("Motion in the video")
    assert picture.read_text().startswith("<?xml")


def test_a_still_clip(run: Run, encode_clip: Encode) -> None:
    out = run("describe", encode_clip("a.mp4", "still"))[1]
    assert out.splitlines()[1] == "0.0-1.6 s: nothing moves."


def test_words_are_limited(run: Run, encode_clip: Encode) -> None:
    path = encode_clip("a.mp4")
    assert "1 less important event is left out." in run("describe", path, "--words", "22")[1]
    code, out, err = run("describe", path, "--words", "3")
    assert (code, out) == (2, "")
    assert err == "himmel: budget=3 is too small for a time line; the shortest takes 21, give at least that.\n"


def test_the_picture_shows_the_same_bytes_each_time(run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    path = encode_clip("a.mp4")
    for name in ("one.png", "two.png"):
        assert run("describe", path, "--picture", tmp_path / name)[0] == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    image = cv2.imread(str(tmp_path / "one.png"))
    assert image.shape[1] == 1170
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--picture", "line.gif"), "does not say which kind of picture to write"),
        (("--per-second", "0"), "--per-second"),
        (("--max-pictures", "0"), "--max-pictures"),
        (("--backend", "magic"), "'magic'"),
    ],
)
def test_bad_options(run: Run, encode_clip: Encode, options: tuple[str, ...], said: str) -> None:
    code, out, err = run("describe", encode_clip("a.mp4", num_frames=3), *options)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_what_is_no_video_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("Dear diary")
    code, out, err = run("describe", tmp_path / "a.mp4")
    assert (code, out) == (1, "")
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert run("describe", tmp_path / "nowhere.mp4")[0] == 1
