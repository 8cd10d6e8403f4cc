"""What a command loads before it answers: modules are counted, since seconds depend on the machine."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_HEAVY = ("torch", "transformers", "peft", "matplotlib", "av", "cv2", "numpy")
_PROGRAM = f"""
import sys
from himmel.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    print("code", stopped.code, *(name for name in {_HEAVY} if name in sys.modules), file=sys.stderr)
"""


def loaded_by(*arguments: str | Path) -> set[str]:
    """The heavy packages that a command has loaded when it ends well."""
    command = [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
    words = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()[-1].split()
    assert words[:2] == ["code", "0"]
    return set(words[2:])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("ask", "--help"),
        ("describe", "--help"),
        ("streams", "--help"),
        ("serve", "--help"),
        ("studio", "--help"),
        ("view", "--help"),
        ("audit", "--help"),
        ("compress", "--help"),
        ("nano", "bench", "--help"),
        ("recipe", "list"),
        ("recipe", "list", "--json"),
        ("recipe", "show", "default"),
        ("recipe", "show", "default", "--base", "qwen3_vl", "--set", "stage2.seed=3", "--json"),
    ],
)
def test_help_and_recipes_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded_by(*arguments) == set()


def test_streams_loads_what_reads_videos(encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    assert loaded_by("streams", encode_clip("clip.mp4"), "-o", tmp_path / "maps.npz") == {"av", "cv2", "numpy"}


def test_describe_loads_what_reads_videos(encode_clip: Callable[..., Path]) -> None:
    assert loaded_by("describe", encode_clip("clip.mp4")) == {"av", "cv2", "numpy"}


def test_doctor_loads_torch_for_devices_alone() -> None:
    assert loaded_by("doctor") <= {"av", "cv2", "numpy", "torch"}
