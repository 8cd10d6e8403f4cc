"""The scripts of the gallery run from top to bottom and make what they say, on a clip and a host that are made here."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from himmel.nano.export import WrittenClips
from tiny_hosts import build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]

_FOLDER = Path(__file__).parents[1] / "examples"
_GALLERY = (_FOLDER.parent / "docs" / "gallery.md").read_text("utf-8")
SCRIPTS = sorted(_FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def checkpoint(nano_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    build(nano_config(nano_folder, num_anchors=2, steps_per_interval=2)).model.save_pretrained(folder)
    return folder


@pytest.fixture
def run(
    checkpoint: Path,
    nano_folder: str,
    encode_clip: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], dict[str, Any]]:
    """Runs a script in an empty folder, with a clip and a tiny host that are made here in place of what it fetches."""
    clip = encode_clip("clip.mp4", num_frames=24, options={"g": "8"})

    def write_clips(folder: Path, *, clips: int, questions_per_clip: int) -> WrittenClips:
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number in range(clips):
            (folder / f"{number}.mp4").write_bytes(clip.read_bytes())
            asked = {"video": f"{number}.mp4", "choices": ["left", "right"], "answer": ("left", "right")[number % 2]}
            rows += [{"question": f"Which way, {k}?", **asked} for k in range(questions_per_clip)]
        (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return WrittenClips(questions=folder / "questions.jsonl", asked=len(rows), rendered=clips)

    monkeypatch.setattr("himmel.nano.assets.get_sample_clip", lambda name: clip)
    monkeypatch.setattr("himmel.nano.assets.get_nano_host", lambda: Path(nano_folder))
    monkeypatch.setattr("himmel.nano.export.write_clips", write_clips)
    monkeypatch.setattr("himmel.methods.models.default_checkpoint", lambda: checkpoint)
    monkeypatch.setattr("himmel.training.beginning.default_checkpoint", lambda: checkpoint)
    monkeypatch.setattr("himmel.hosts.nano_host_folder", lambda: Path(nano_folder))
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return lambda name: runpy.run_path(str(_FOLDER / f"{name}.py"), run_name="__main__")


def test_ask(run: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    made = run("ask")
    assert made["answer"].tokens["motion"] > 0
    assert made["blind"].tokens["motion"] == 0
    assert len(capsys.readouterr().out.splitlines()) >= 7


def test_streams_to_numpy(run: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    run("streams_to_numpy")
    # The clip pans by 2 pixels to the right and 1 down.
    speeds = [float(line.split()[3]) for line in capsys.readouterr().out.splitlines() if line.startswith("from")]
    assert speeds == pytest.approx([np.hypot(2, 1)] * 4, rel=0.2)
    with np.load("streams.npz") as archive:
        assert archive["past"].shape[1] == 2
    assert Path("streams.png").stat().st_size > 0


def test_full_rate_vectors(run: Callable[[str], dict[str, Any]]) -> None:
    made = run("full_rate_vectors")
    assert len(made["times"]) == 24
    assert made["names"][int(made["compass"].argmax())] == "right and down"
    assert np.nanmedian(made["speeds"]) == pytest.approx(np.hypot(2, 1), rel=0.2)
    assert Path("vectors.png").stat().st_size > 0


def test_overlay(run: Callable[[str], dict[str, Any]]) -> None:
    made = run("overlay")
    with av.open("overlay.mp4") as file:
        assert sum(1 for _ in file.decode(video=0)) == made["overlay"].pictures > 0
    assert "<html" in Path("page.html").read_text("utf-8")
    assert Path("arrows.jpg").stat().st_size > 0


@pytest.mark.slow
def test_own_training_set(run: Callable[[str], dict[str, Any]]) -> None:
    made = run("own_training_set")
    assert (made["checkpoint"] / "adapter.safetensors").is_file()
    assert made["begun"].videos == 3
    assert all(sample.tokens for sample in made["begun"].checked)


@pytest.mark.slow
def test_own_baseline(run: Callable[[str], dict[str, Any]]) -> None:
    made = run("own_baseline")
    answers = [json.loads(line) for line in (made["work"] / "runs" / "ends" / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 12
    assert all(row["error"] is None and row["record"]["frames"] == [0, 23] for row in answers), answers[0]


def test_every_script_is_in_the_gallery_and_has_a_test() -> None:
    assert [script.stem for script in SCRIPTS if f"(../examples/{script.name})" not in _GALLERY] == []
    assert [script.stem for script in SCRIPTS if f"test_{script.stem}" not in globals()] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_made_of_cells_and_begins_with_its_title(script: Path) -> None:
    text = script.read_text("utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    cells = text.split("# %%")[1:]
    assert len(cells) >= 4
    texts = [cell.strip().splitlines()[1:] for cell in cells if cell.startswith(" [markdown]")]
    assert all(line.startswith("#") for lines in texts for line in lines)
