"""`himmel budget` before a video is decoded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tiny_recipes import tiny_base

Run = Callable[..., tuple[int, str, str]]


def test_of_a_file_as_of_its_size(run: Run, encode_clip: Callable[..., Path], nano_folder: str) -> None:
    clip = encode_clip("clip.mp4", num_frames=30, size=(160, 128))
    code, out, err = run("budget", clip, "--host", nano_folder, "--tokens", "9", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    size = ("--width", "160", "--height", "128", "--duration", "1.2", "--dense-frames", "30")
    assert told == json.loads(run("budget", "--host", nano_folder, "--tokens", "9", *size, "--json")[1])
    assert (told["full"]["image"], told["full"]["motion"]) == (8 * 16, 8 * 9)
    # No more frames than there are.
    assert told["dense"]["frames"] == 30
    assert told["seconds_between"]["anchor"] == pytest.approx(0.15)


def test_times_are_counted_and_said(run: Run, nano_folder: str) -> None:
    common = ("budget", "--host", nano_folder, "--duration", "60")
    plain, told = (json.loads(run(*common, "--times", times, "--json")[1]) for times in ("none", "text"))
    added = told["full"]["text"] - plain["full"]["text"]
    assert added == told["full"]["times"] > told["anchors_only"]["times"] > plain["full"]["times"] == 0
    assert told["dense"] == plain["dense"]
    assert f"The full prompt has {added} text tokens for times." in run(*common, "--times", "text")[1]


def test_it_needs_no_weights(run: Run, nano_folder: str, tmp_path: Path) -> None:
    for file in Path(nano_folder).iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    code, out, err = run("budget", "--host", tmp_path, "--anchors", "64", "--tokens", "256")
    assert (code, err) == (0, "")
    assert "16,384" in out
    assert "1280 x 720, 3600 s" in out


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--placement", "anywhere"), "'anywhere'"),
        (("--question", " "), "empty"),
        (("clip.mp4", "--width", "100"), "'clip.mp4' was given together with a width"),
        (("nowhere.mp4",), "'nowhere.mp4'"),
        (("--host", "nowhere"), "'nowhere'"),
    ],
)
def test_what_cannot_be_counted(run: Run, nano_folder: str, options: tuple[str, ...], names: str) -> None:
    code, out, err = run("budget", "--host", nano_folder, *options)
    assert (code in (1, 2), out) == (True, "")
    assert names in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", [("--anchors", "65"), ("--tokens", "0"), ("--steps", "129")])
def test_numbers_out_of_range(run: Run, option: tuple[str, str]) -> None:
    code, _, err = run("budget", *option)
    assert (code, "Invalid value" in err) == (2, True)


def test_every_family_without_files(run: Run) -> None:
    code, out, err = run("budget", "--all-hosts", "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [row["kind"] for row in rows] == ["nano", "qwen2_5_vl", "qwen3_vl", "internvl", "llava_onevision"]
    assert all(row["full"]["text"] is None for row in rows)
    assert "Text tokens are not counted" in run("budget", "--all-hosts")[1]


def test_the_memory_of_a_training(run: Run, nano_folder: str, tmp_path: Path) -> None:
    base = tiny_base(tmp_path, of="nano", host=nano_folder)
    code, out, err = run("budget", "--training", "default", "--base", base, "--set", "stages=[2]", "--json")
    assert (code, err) == (0, "")
    told = {stage["kind"]: stage for stage in json.loads(out)}
    assert list(told) == ["projector", "stage2"]
    ways = told["stage2"]["ways"]
    assert set(ways) >= {"recipe", "deepspeed zero2", "deepspeed zero3", "checkpointing on", "bfloat16", "trains full"}
    assert told["stage2"]["totals"]["recipe"] == sum(ways["recipe"].values())
    assert ways["deepspeed zero2"]["optimizer"] > ways["recipe"]["optimizer"]
    two = ("--set", "stages=[2]", "--set", "projector=null", "--set", "stage2.optimizer.batch_size=2", "--devices", "2")
    code, out, err = run("budget", "--training", "default", "--base", base, *two)
    assert (code, err) == (0, "")
    assert "stage2: micro-steps of 1 video, prompts of" in " ".join(out.split())
    code, out, err = run("budget", "--training", "default", "--base", base, *two[:-1], "3")
    assert (code, out) == (2, "")
    assert "optimizer.batch_size = 2 cannot be divided among 3 micro-steps and devices" in err


@pytest.mark.parametrize("option", [("clip.mp4",), ("--host", "nano"), ("--max-anchor-tokens", "9"), ("--all-hosts",)])
def test_what_a_training_does_not_look_at_is_refused(run: Run, option: tuple[str, ...]) -> None:
    code, out, err = run("budget", "--training", "default", "--base", "nano", *option)
    assert (code, out) == (2, "")
    assert option[0] in err
    assert "leave it out" in " ".join(err.split())


@pytest.mark.parametrize("option", [("--devices", "2"), ("--base", "nano"), ("--set", "stages=[2]")])
def test_options_of_a_training_need_its_recipe(run: Run, option: tuple[str, str]) -> None:
    code, out, err = run("budget", *option)
    assert (code, out, "name its recipe by --training" in err) == (2, "", True)
