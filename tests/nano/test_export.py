"""Rendered clips as files, with the real emoji, photographs and codec."""

import json
import runpy
from pathlib import Path

import pytest
import yaml

from himmel.errors import HimmelError, UsageError
from himmel.nano import export
from himmel.nano.clips import FIRST_EVAL_SEED
from himmel.nano.draw import draw_spec
from himmel.nano.export import write_clips
from himmel.nano.kinds import MOTION_KINDS
from himmel.nano.lmms_task import TASK, WRITTEN_TASK
from himmel.nano.questions import questions
from himmel.video import Video


@pytest.mark.assets
def test_clips_and_their_questions(tmp_path: Path) -> None:
    written = write_clips(tmp_path / "new/clips", clips=3, questions_per_clip=2)
    assert (written.asked, written.rendered) == (6, 3)
    lines = [json.loads(line) for line in written.questions.read_text(encoding="utf-8").splitlines()]
    assert [line["video"] for line in lines] == [f"{FIRST_EVAL_SEED + place // 2}.mp4" for place in range(6)]
    for line in lines:
        seed, _, place = line["id"].partition("/")
        asked = questions(draw_spec(int(seed), "eval"))[int(place)]
        assert (line["question"], tuple(line["choices"])) == (asked.text, asked.choices)
        assert line["answer"] == asked.choices[asked.answer]
        assert line["category"] == asked.kind
        assert line["task"] == ("motion" if asked.kind in MOTION_KINDS else "still")
        video = Video(written.questions.parent / line["video"])
        assert line["duration"] == pytest.approx(video.duration, abs=0.002)


@pytest.mark.assets
def test_an_interrupted_call_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, calls = export.encode_clip_file, []

    def stop_at_third(spec: object, path: Path) -> None:
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        encode(spec, path)

    monkeypatch.setattr(export, "encode_clip_file", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        write_clips(tmp_path, clips=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == calls[:2]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert write_clips(tmp_path, clips=4).rendered == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.assets
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_clips(tmp_path / name, clips=1, seed=FIRST_EVAL_SEED + 5)
    files = [[tmp_path / name / file for file in ("10000005.mp4", "questions.jsonl")] for name in ("one", "other")]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


@pytest.mark.assets
def test_the_task_for_lmms_eval_finds_the_clips_and_the_right_options(tmp_path: Path) -> None:
    written = write_clips(tmp_path, clips=2)
    lines = (tmp_path / f"{TASK}.yaml").read_text(encoding="utf-8").splitlines()
    settings = yaml.safe_load("\n".join(line for line in lines if "!function" not in line))
    named = Path(settings["dataset_kwargs"]["data_files"]["test"])
    assert (named, settings["task"]) == (written.questions.resolve(), TASK)
    functions = runpy.run_path(str(tmp_path / f"{TASK}.py"))
    for line in named.read_text(encoding="utf-8").splitlines():
        doc = json.loads(line)
        assert [Path(path).is_file() for path in functions["doc_to_visual"](doc)] == [True]
        assert doc[settings["doc_to_choice"]][functions["doc_to_target"](doc)] == doc["answer"]
        prompt = functions["doc_to_text"](doc)
        assert prompt.startswith(doc["question"])
        assert all(choice in prompt for choice in doc["choices"])
        assert functions["process_results"](doc, [f" {doc['answer'].upper()}.\n"]) == {"acc": 1.0}
        wrong = next(choice for choice in doc["choices"] if choice != doc["answer"])
        for said in (wrong, f"{doc['answer']} or {wrong}", ""):
            assert functions["process_results"](doc, [said]) == {"acc": 0.0}
    lines = (tmp_path / f"{WRITTEN_TASK}.yaml").read_text(encoding="utf-8").splitlines()
    settings = yaml.safe_load("\n".join(line for line in lines if "!function" not in line))
    assert (Path(settings["dataset_kwargs"]["data_files"]["test"]), settings["task"]) == (named, WRITTEN_TASK)


def test_clips_that_may_have_been_trained_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Seed 5 may have been trained on; evaluation seeds start at 10000000"):
        write_clips(tmp_path, seed=5)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HimmelError, match="Cannot make the folder"):
        write_clips(tmp_path / "file")
