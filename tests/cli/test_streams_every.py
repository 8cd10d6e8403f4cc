"""`himmel streams --every`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from himmel import cli

Encode = Callable[..., Path]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["streams", *words])
    shown = capsys.readouterr()
    return int(stopped.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize("what", ["maps", "vectors"])
def test_every_picture_is_written_and_told(
    what: str, encode_clip: Encode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, folder = str(encode_clip("a.mp4", num_frames=20)), tmp_path / "out"
    code, out, _ = run(capsys, video, "-o", str(folder), "--every", what, "--json")
    told = json.loads(out)
    assert (code, told["pictures_written"], told["files"], told["backend"]) == (0, 20, 1, "bitstream")
    with np.load(folder / "000000000.npz") as archive:
        assert archive["frames"].tolist() == list(range(20))
        assert ("past" in archive, "vectors" in archive) == (what == "maps", what == "vectors")
    code, out, _ = run(capsys, video, "-o", str(folder), "--every", what)
    assert code == 0
    assert "of 0 pictures" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--every", "maps", "--anchors", "3"], "--anchors cannot be combined with --every"),
        (["--every", "vectors", "--cell", "8"], "cannot be combined with vectors"),
        (["--every", "all"], "--every"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: list[str], said: str, encode_clip: Encode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, str(encode_clip("a.mp4", num_frames=3)), "-o", str(tmp_path / "out"), *options)
    assert code == 2
    assert said in error
    assert not (tmp_path / "out").exists()


def test_a_picture_of_a_kind_that_cannot_be_drawn_is_refused_at_once(
    encode_clip: Encode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        str(encode_clip("a.mp4", num_frames=3)),
        "-o",
        str(tmp_path / "a.npz"),
        "--picture",
        str(tmp_path / "p.gif"),
    ]
    code, _, error = run(capsys, *words)
    assert code == 2
    assert "does not say which kind of picture to write" in error
    assert not (tmp_path / "a.npz").exists()
