"""Running `himmel` inside the test's own process, and a tiny checkpoint to ask."""

from collections.abc import Callable
from pathlib import Path

import pytest

from himmel import _progress, cli
from tiny_hosts import build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]


@pytest.fixture(scope="session")
def checkpoint(nano_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights with a tiny host of the nano kind; it makes 4 motion tokens an interval."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    build(nano_config(nano_folder, num_anchors=3, steps_per_interval=4)).model.save_pretrained(folder)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """`run("streams", path, "-o", out)` gives the exit code, stdout and stderr, which has no lines of progress.

    How many of these there are is up to the machine.
    """
    monkeypatch.setattr(_progress, "EVERY", 3600.0)

    def run_command(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run_command
