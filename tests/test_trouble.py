"""Errors of a full disk as native libraries raise them, and what is left alone."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from himmel._files import atomic_path
from himmel._trouble import explain
from himmel.errors import HimmelError

_WRITE = """
import resource, sys, torch
from safetensors.torch import save_file
from himmel._files import atomic_path
from himmel.errors import HimmelError
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
write = {"safetensors": save_file, "torch": torch.save}[sys.argv[1]]
try:
    with atomic_path(sys.argv[2]) as file:
        write({"weights": torch.zeros(100_000)}, file)
except HimmelError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("library", "says"), [("safetensors", "would be larger than this disk"), ("torch", "No space is left on the disk")]
)
def test_native_writers_that_the_system_stops(tmp_path: Path, library: str, says: str) -> None:
    command = [sys.executable, "-c", _WRITE, library, str(tmp_path / "weights.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert says in done.stdout
    assert "weights.bin'" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_being_written_is_named_by_its_final_name(tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match=r"No space is left on the disk to write '.*/maps\.npz'"):  # noqa: SIM117
        with atomic_path(tmp_path / "maps.npz"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [ValueError("two"), FileNotFoundError(errno.ENOENT, "No such file"), KeyError("No"), BrokenPipeError()]
)
def test_bugs_stay_bugs(error: Exception) -> None:
    assert explain(error) is None


def test_a_cause_is_looked_for_and_a_circle_ends() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert explain(first) is None
    second.__cause__ = ConnectionResetError("gone")
    assert explain(first) == "The network cannot be reached (gone); connect and try again."
