"""`himmel audit`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from held_command import held_command
from process_groups import gone

Encode = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


def test_what_is_found_is_printed_and_a_bad_file_is_exit_code_1(run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    encode_clip("a.mp4")
    code, out, err = run("audit", tmp_path)
    assert (code, err) == (0, "")
    assert "1 of 1 files can be read (0.00 h), 0 cannot; codecs: h264 100.0%" in out
    (tmp_path / "b.mp4").write_text("no video")
    code, out, err = run("audit", tmp_path, "-o", tmp_path / "audit.jsonl", "--workers", "2")
    assert (code, err) == (1, "")
    assert "invalid data" in out
    code, out, _ = run("audit", tmp_path, "-o", tmp_path / "audit.jsonl", "--json")
    found = json.loads(out)
    assert (code, found["files"], found["readable"], found["read"]) == (1, 2, 1, 0)
    assert [one["path"] for one in found["unreadable"]] == ["b.mp4"]


@pytest.mark.parametrize(
    ("folder", "options", "code", "names"),
    [
        ("nowhere", (), 1, "There is no folder"),
        ("a.mp4", (), 1, "is a file"),
        ("empty", (), 1, "holds no files that end in"),
        ("", (), 2, "The path is empty"),
        (".", ("--workers", "0"), 2, "'--workers'"),
        (".", ("--time-limit", "0"), 2, "'--time-limit'"),
        (".", ("-o", "nowhere/audit.jsonl"), 2, "'nowhere'"),
        (".", ("-o", "."), 2, "is a folder"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    options: tuple[str, ...],
    code: int,
    names: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").touch()
    Path("empty").mkdir()
    found, out, err = run("audit", folder, *options)
    assert (found, out) == (code, "")
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert names in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "empty"]


def many(encode_clip: Encode, tmp_path: Path) -> Path:
    """A folder of 300 copies of a clip."""
    (tmp_path / "videos").mkdir()
    clip = encode_clip("videos/0.mp4", num_frames=8).read_bytes()
    for number in range(1, 300):
        (tmp_path / "videos" / f"{number}.mp4").write_bytes(clip)
    return tmp_path / "videos"


def started(folder: Path, output: Path) -> "subprocess.Popen[str]":
    """An audit that has read some files, and reads twenty at most."""
    program = held_command("himmel.data.audit", count=20)
    command = [sys.executable, "-c", program, "audit", str(folder), "-o", str(output)]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not output.exists() or output.read_bytes().count(b"\n") < 5:
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_that_was_killed_is_continued(run: Run, encode_clip: Encode, tmp_path: Path) -> None:
    folder, output = many(encode_clip, tmp_path), tmp_path / "audit.jsonl"
    process = started(folder, output)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = output.read_bytes().count(b"\n")
    assert 5 <= done < 300
    code, out, _ = run("audit", folder, "-o", output, "--json")
    found = json.loads(out)
    assert (code, found["files"], found["readable"], found["read"]) == (0, 300, 300, 300 - done)
    assert sorted(json.loads(line)["path"] for line in output.read_text().splitlines()) == sorted(
        f"{number}.mp4" for number in range(300)
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_an_interrupted_run_ends_with_its_workers(encode_clip: Encode, tmp_path: Path) -> None:
    process = started(many(encode_clip, tmp_path), tmp_path / "audit.jsonl")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "himmel: interrupted."
    assert "Traceback" not in err
    assert gone(process.pid)
