"""What the pages of the guide and the README show runs exactly as shown."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from himmel import cli
from progress_lines import without_progress
from tiny_hosts import build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]

_ROOT = Path(__file__).parents[1]
# What docs/training.md shows has a test of its own.
_PAGES = ("README.md", *(f"docs/{page.name}" for page in sorted(_ROOT.glob("docs/*.md")) if page.stem != "training"))
# These take minutes, the network, a data set or what training made; their options are looked up instead of being run.
_ELSEWHERE = {"--ray", "--features"}
"""Options for which a cluster or a large host is needed."""
_ONLY_HELP = {
    "report",
    "compress",
    "train",
    "eval",
    "nano",
    "merge",
    "card",
    "push",
    "cache",
    "watch",
    "serve",
    "studio",
}


def blocks(kind: str) -> list[str]:
    texts = ((_ROOT / page).read_text(encoding="utf-8") for page in _PAGES)
    return [block for text in texts for block in re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.M | re.S)]


def commands() -> list[str]:
    whole = (block.replace("\\\n", "") for block in blocks("sh"))
    lines = (line.split("  #")[0].strip() for block in whole for line in block.splitlines())
    return [line for line in lines if line.startswith("himmel ")]


@pytest.fixture(scope="module")
def checkpoint(nano_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    build(nano_config(nano_folder, num_anchors=2, steps_per_interval=2)).model.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _desk(
    checkpoint: Path,
    nano_folder: str,
    encode_clip: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder with bunny.mp4 and recording.ts in it, and a tiny checkpoint and host in place of the package's own."""
    encode_clip("bunny.mp4", num_frames=24, options={"g": "8"})
    encode_clip("recording.ts", num_frames=24, options={"g": "8"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("himmel.methods.models.default_checkpoint", lambda: checkpoint)
    monkeypatch.setattr("himmel.hosts.nano_host_folder", lambda: Path(nano_folder))


def test_pages_show_something() -> None:
    assert len(blocks("python")) >= 5
    assert len(commands()) >= 8


@pytest.mark.parametrize("code", blocks("python"))
def test_python(code: str) -> None:
    exec(compile(code, "page", "exec"), {})


@pytest.mark.parametrize("line", commands())
def test_command(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[1:]
    if words[0] in _ONLY_HELP or _ELSEWHERE & set(words):
        options = [word for word in words if re.fullmatch(r"-{1,2}[a-z-]+", word)]
        with pytest.raises(SystemExit):
            cli.main([*words[: 2 if words[0] in ("eval", "nano", "cache", "train") else 1], "--help"])
        shown = capsys.readouterr().out
        assert all(option in shown for option in options)
        return
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert without_progress(capsys.readouterr().err) == ""
    assert stopped.value.code == 0
