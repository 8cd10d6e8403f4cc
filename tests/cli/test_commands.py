"""The commands that need no model, and options of those that do."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import himmel
from himmel.choices import AnchorMode, Backend, Condition, PlacementName

Run = Callable[..., tuple[int, str, str]]


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"himmel {himmel.__version__}\n", "")


def test_help_begins_with_what_most_people_want(run: Run) -> None:
    text = run("--help")[1]
    verbs = re.findall(r"^│ (\w+) ", text, flags=re.MULTILINE)
    assert verbs[:3] == ["ask", "describe", "streams"]
    assert sorted(verbs[3:]) == sorted(
        [
            "view",
            "watch",
            "serve",
            "studio",
            "audit",
            "cache",
            "compress",
            "doctor",
            "nano",
            "budget",
            "params",
            "plot",
            "prepare",
            "train",
            "report",
            "recipe",
            "eval",
            "merge",
            "card",
            "push",
        ]
    )


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("himmel streams --backend ", get_args(Backend)),
        ("himmel ask --anchor-mode ", get_args(AnchorMode)),
        ("himmel ask --placement ", get_args(PlacementName)),
        ("himmel nano bench --condition ", get_args(Condition)),
        ("himmel params --encoder s", ("ssm", "siglip", "shared_vit")),
        ("himmel recipe show def", ("default",)),
        ("himmel train default --base q", ("qwen2_5_vl", "qwen3_vl")),
    ],
)
def test_completion_lists_the_choices(words: str, offered: tuple[str, ...]) -> None:
    places = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_HIMMEL_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", "from himmel.cli import main; main()"]
    done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (list(offered), "")


@pytest.mark.parametrize(
    "verb",
    [
        "ask",
        "describe",
        "streams",
        "audit",
        "prepare",
        "cache",
        "compress",
        "params",
        "doctor",
        "train",
        "recipe",
        "nano",
        "eval",
    ],
)
def test_every_verb_has_help(run: Run, verb: str) -> None:
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert "Usage: himmel" in out


def test_params_prints_every_size_and_encoder_beside_the_reports_figures(run: Run) -> None:
    code, out, _ = run("params")
    assert code == 0
    for word in ("paper size", "nano size", "ssm", "resnet18", "siglip", "shared_vit", "none", "36.20 M"):
        assert word in out


def test_params_meet_the_reports_budget(run: Run) -> None:
    tables = json.loads(run("params", "--json")[1])
    assert {size: len(encoders) for size, encoders in tables.items()} == {"paper": 5, "nano": 5}
    compared = [row for row in tables["paper"]["ssm"] if row["report"] is not None]
    assert len(compared) >= 6
    assert all(abs(row["parameters"] / row["report"] - 1) <= 0.03 for row in compared)
    assert all(abs(row["difference"]) <= 0.03 for row in compared)


def test_params_of_one_encoder_for_another_host(run: Run) -> None:
    code, out, _ = run("params", "--encoder", "none", "--size", "nano", "--host-hidden-size", "32", "--json")
    assert code == 0
    (rows,) = json.loads(out)["nano"].values()
    projector = next(row for row in rows if row["component"] == "projector")
    assert projector["parameters"] == (192 * 192 + 192) + (192 * 32 + 32) + 1
    assert run("params", "--encoder", "none", "--size", "paper")[0] == 0


@pytest.mark.parametrize(("option", "word"), [("--encoder", "shared_vit"), ("--size", "nano")])
def test_params_names_what_there_is(run: Run, option: str, word: str) -> None:
    code, out, err = run("params", option, "huge")
    assert (code, out) == (2, "")
    assert "'huge'" in err
    assert word in err
    assert err.count("\n") == 1


def test_streams_writes_maps_and_times(run: Run, encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    video, output = encode_clip("clip.mp4", options={"g": "10"}), tmp_path / "maps.npz"
    code, out, err = run("streams", video, "-o", output, "--anchors", "3", "--steps", "4", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert said["backend"] == "bitstream"
    assert len(said["anchors"]) == len(said["intervals"]) == 3
    assert said["num_vectors"] > 0
    assert said["num_damaged"] == 0
    with np.load(output, allow_pickle=False) as arrays:
        assert arrays.files
        # The clip moves by (2, 1) pixels a picture; somewhere in the file is exactly that.
        assert all(arrays[name].size >= 0 for name in arrays.files)


def test_streams_with_rgb_difference(run: Run, encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    video, output = encode_clip("clip.mp4"), tmp_path / "maps.npz"
    code, out, _ = run("streams", video, "-o", output, "--anchors", "2", "--steps", "3", "--rgb-difference", "--json")
    assert code == 0
    assert json.loads(out)["seconds"]["rgb_difference"] > 0
    with np.load(output, allow_pickle=False) as arrays:
        assert arrays["rgb_difference"].shape[:2] == (6, 3)


def test_streams_for_a_person_and_a_picture(run: Run, encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    video, output, picture = encode_clip("clip.mp4"), tmp_path / "maps.npz", tmp_path / "maps.png"
    code, out, err = run("streams", video, "-o", output, "--picture", picture, "--anchors", "2")
    assert (code, err) == (0, "")
    assert "bitstream" in out
    assert "motion vectors read" in out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "maps.npz", "maps.png"]


def test_doctor_tries_every_codec(run: Run) -> None:
    code, out, _ = run("doctor", "--json")
    assert code == 0
    found = json.loads(out)
    assert {"python", "himmel", "torch", "av", "ffmpeg"} <= set(found["versions"])
    backends = {trial["codec"]: trial["backend"] for trial in found["codecs"]}
    assert (backends["h264"], backends["mpeg4"], backends["mpeg2video"]) == ("bitstream", "libav", "libav")
    assert (backends["hevc"], backends["vp9"], backends["av1"]) == ("proxy", "proxy", "proxy")
    assert found["devices"][0]["name"] == "cpu"


def test_doctor_for_a_person_says_how_to_get_the_host(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "empty"))
    code, out, _ = run("doctor")
    assert code == 0
    said = " ".join(out.split())
    assert "himmel nano get" in said
    verbs = "describe, streams, audit, compress, prepare, cache, recipe, params, merge, card, push"
    assert f"works {verbs} not yet ask: needs host budget: needs host" in said
    assert "himmel's engine, 0.1.0, parses H.264 without decoding it" in said
    assert not (tmp_path / "empty").exists()


def test_doctor_without_the_extras_says_what_still_works_and_how_to_get_the_rest(tmp_path: Path) -> None:
    """In a Python that has no torch, as after a plain install."""
    without = """
import importlib.util, sys
sys.modules["torch"] = None
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else find(name, package)
from himmel.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", without, "doctor"], capture_output=True, text=True)
    said = " ".join(done.stdout.split())
    assert done.returncode == 0
    assert said.startswith("works describe, streams, audit, compress, prepare, cache not yet ask: needs models")
    assert "models is not installed; `pip install" in said
    assert "none that torch can use" in said


def test_two_runs_of_streams_write_the_same_bytes_and_print_the_seconds(
    run: Run, encode_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = encode_clip("clip.mp4")
    options = ("--picture", tmp_path / "maps.png", "--json")
    code, out, _ = run("streams", video, "-o", tmp_path / "first.npz", *options)
    assert code == 0
    assert {"open", "extract"} <= set(json.loads(out)["seconds"])
    # On another day, since archives and pictures can hold the time at which they were written.
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 90_000)
    assert run("streams", video, "-o", tmp_path / "second.npz", "--threads", "1")[0] == 0
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    with np.load(tmp_path / "first.npz") as arrays:
        assert "seconds" not in json.loads(str(arrays["about"]))


def test_ctrl_c_ends_cleanly(
    run: Run, encode_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: himmel.Video, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(himmel.Video, "decompose", interrupt)
    code, _, err = run("streams", encode_clip("clip.mp4"), "-o", tmp_path / "maps.npz")
    assert code == 130
    assert "Traceback" not in err
    assert not (tmp_path / "maps.npz").exists()


def test_a_bug_is_one_line_and_debug_shows_where(
    run: Run, encode_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(self: himmel.Video, **options: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(himmel.Video, "decompose", break_down)
    arguments = ("streams", encode_clip("clip.mp4"), "-o", tmp_path / "maps.npz")
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("himmel: unexpected ZeroDivisionError: two lines; please report it")
    code, _, err = run("--debug", *arguments)
    assert code == 1
    assert "Traceback" in err
    assert "break_down" in err


def test_a_package_of_an_extra_that_is_not_there_is_named_with_the_extra(tmp_path: Path) -> None:
    without = "import sys; sys.modules['statsmodels'] = None; from himmel.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", without, "nano", "bench", "-o", str(tmp_path / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    needs = "This needs the package statsmodels of the extra 'train', which is not installed"
    assert done.stderr == f'himmel: {needs}; `pip install ".[train]"` in himmel\'s checkout gets it.\n'


@pytest.mark.assets
def test_rendered_clips_are_a_file_of_questions(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("nano", "clips", "-o", tmp_path / "clips", "--clips", "2", "--questions", "3")
    questions = tmp_path / "clips/questions.jsonl"
    assert (code, out) == (0, f"6 questions about 2 clips are in {questions}\n")
    code, out, _ = run("nano", "clips", "-o", tmp_path / "clips", "--clips", "2", "--questions", "1", "--json")
    assert (code, json.loads(out)) == (0, {"questions": str(questions), "clips": 2, "asked": 2, "new": 0})


def test_clips_of_training_seeds_are_refused(run: Run, tmp_path: Path) -> None:
    code, out, err = run("nano", "clips", "-o", tmp_path / "clips", "--seed", "7")
    assert (code, out) == (2, "")
    assert "Seed 7 may have been trained on" in err
    assert not (tmp_path / "clips").exists()
