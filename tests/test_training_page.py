"""What docs/training.md shows about a small set runs as shown, on clips that are encoded here and a tiny host."""

import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from himmel import cli
from himmel.training.resolve import resolve_recipe
from tiny_hosts import build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]

_PAGE = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")


def _commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", _PAGE, flags=re.M | re.S)
    lines = (line for block in blocks for line in block.replace("\\\n", "").splitlines())
    return [line[line.index("himmel ") :] for line in lines if re.match(r"(torchrun .*)?himmel ", line)]


def _run(line: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(shlex.split(line)[1:])
    return int(stopped.value.code or 0)


def test_the_small_set_is_trained_on(
    nano_folder: str,
    write_clip: Callable[..., Path],
    pan: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = tmp_path / "checkpoint"
    build(nano_config(nano_folder, num_anchors=2, steps_per_interval=2)).model.save_pretrained(checkpoint)
    monkeypatch.setattr("himmel.training.beginning.default_checkpoint", lambda: checkpoint)
    monkeypatch.setattr("himmel.hosts.nano_host_folder", lambda: Path(nano_folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    written = []
    for line in _commands():
        words = shlex.split(line)
        if words[1:3] == ["nano", "sample"]:
            written.append(words[3])
            write_clip(tmp_path / words[3], pan(24, (96, 64), seed=len(written)), options={"g": "6"})
    assert len(written) == 3
    (content,) = re.findall(r"^cat > qa.json <<'END'\n(.*?)^END$", _PAGE, flags=re.M | re.S)
    (tmp_path / "qa.json").write_text(content)
    own = [line for line in _commands() if "my-run" in line]
    assert [shlex.split(line)[1:3] for line in own] == [
        ["train", "init"],
        ["recipe", "show"],
        ["train", "my-run/recipe.yaml"],
        ["plot", "my-run/runs"],
    ]
    for line in own:
        assert _run(line) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "6 about videos; 3 different videos" in " ".join(out.split())
    (trained,) = (tmp_path / "my-run" / "runs" / "nano").glob("stage2-*/adapter.safetensors")
    assert trained.stat().st_size > 0
    assert {file.suffix for file in (tmp_path / "figures").iterdir()} == {".png", ".svg"}


@pytest.mark.parametrize("line", _commands())
def test_options_of_every_command_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[1:]
    verbs = words[:2] if words[0] in ("nano", "recipe") or words[:2] == ["train", "init"] else words[:1]
    verbs = ["train", "default"] if verbs == ["train"] else verbs
    assert _run(shlex.join(["himmel", *verbs, "--help"])) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", line) if option != "--no-python")


def test_recipes_that_the_page_names_take_what_it_sets() -> None:
    line = next(one for one in _commands() if "corpus/llava-video-178k" in one)
    words = shlex.split(line)
    changes = dict(word.split("=", 1) for before, word in pairwise(words) if before == "--set")
    recipe = resolve_recipe(words[2], overrides=changes).recipe
    assert (recipe.data.folder, recipe.data.cache) == ("/data/LLaVA-Video-178K", "/data/streams")
