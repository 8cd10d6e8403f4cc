"""`himmel compress`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Encode = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(encode_clip: Encode, tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    encode_clip("data/a.mp4", num_frames=8)
    return tmp_path / "data"


def test_a_ladder_is_made_and_told(run: Run, data: Path, tmp_path: Path) -> None:
    options = ("-o", tmp_path / "ladder", "--qp", "20, 40", "--crf", "30", "--preset", "ultrafast", "--workers", "1")
    code, out, err = run("compress", data, *options)
    assert (code, err) == (0, "")
    assert "3 rungs of 1 clip (0.3 s" in out
    code, out, _ = run("compress", data, *options, "--json")
    assert (code, [rung["name"] for rung in json.loads(out)]) == (0, ["qp-20", "qp-40", "crf-30"])
    (data / "b.mp4").write_text("no video")
    code, out, err = run("compress", data, *options)
    assert (code, err) == (1, "")
    assert "1 file could not be encoded" in out


@pytest.mark.parametrize(
    ("options", "code", "names"),
    [
        (("--qp", "20,soft"), 2, "'soft'"),
        (("--qp", "0"), 2, "'0'"),
        (("--crf", "52"), 2, "'52'"),
        (("--qp", ""), 2, "--qp ''"),
        (("--qp", "20,20"), 2, "not all different"),
        (("--preset", "lazy"), 2, "'lazy'"),
    ],
)
def test_bad_options_are_one_sentence(
    run: Run, data: Path, tmp_path: Path, options: tuple[str, ...], code: int, names: str
) -> None:
    found, out, err = run("compress", data, "-o", tmp_path / "ladder", *options)
    assert (found, out) == (code, "")
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert names in err
    assert not (tmp_path / "ladder").exists()
