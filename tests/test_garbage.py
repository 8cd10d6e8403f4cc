"""The garbage collector rests while models load, and when the command ends."""

import gc
import subprocess
import sys

import pytest

from himmel._garbage import without_collections


def test_no_garbage_is_collected_in_the_block_and_again_after_it() -> None:
    with without_collections():
        assert not gc.isenabled()
        with without_collections():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failure_in_the_block_switches_it_on_again() -> None:
    with pytest.raises(ValueError, match="no"), without_collections():
        raise ValueError("no")
    assert gc.isenabled()


def test_who_had_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("arguments", [["--version"], ["ask", "missing.mp4", "What moves?"]])
def test_the_command_leaves_no_object_to_a_last_collection(arguments: list[str]) -> None:
    # What was registered first is done last.
    program = "import atexit, gc\natexit.register(lambda: print(gc.get_freeze_count()))\n"
    program += f"from himmel.cli import main\nmain({arguments!r})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert int(ended.stdout.split()[-1]) > 1000
