"""Whole runs with a tiny model and real clips: broken files, interruptions, batches, pictures."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from held_command import held_command
from himmel.errors import HimmelError, UsageError
from himmel.evaluation.items import Item
from himmel.evaluation.runs.posing import Posing
from himmel.evaluation.runs.record import Row, load_run, read_rows
from himmel.methods.choice import build
from himmel.methods.session import Session
from himmel.video import Video

RowsOf = Callable[[Path], list[Row]]


def test_every_question_has_a_row_with_its_evidence(evaluation: Any, tmp_path: Path, data: Path) -> None:
    evaluation.run(tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert [row.id for row in run.rows] == list("1234567")
    row = run.rows[0]
    assert (row.media, row.media_kind, row.category, row.answer) == ("a.mp4", "video", "motion", ("A",))
    assert row.scores is not None
    assert row.given == row.choices[int(np.argmax(row.scores))]
    assert row.parsed == "AB"[int(np.argmax(row.scores))]
    assert (row.right, row.points) == (row.parsed == "A", float(row.parsed == "A"))
    record = row.record
    assert record is not None
    assert record.video_sha256 == hashlib.sha256((data / "a.mp4").read_bytes()).hexdigest()
    assert (record.frames, record.backend, record.pixels) == ((0, 8, 16), "bitstream", (160, 128))
    assert record.times == pytest.approx((0, 8 / 25, 16 / 25))
    assert (record.tokens["image"], record.tokens["motion"]) == (3 * 16, 3 * 4)
    assert 0 < record.seconds["first_token"] < 60
    assert record.peak_memory > 1e7
    header = run.header
    assert (header.questions, header.method["name"], header.settings["scoring"]) == (7, "himmel", "prior")
    assert header.adapter_sha256 is not None
    assert header.trained is not None
    assert (header.setting("num_anchors"), header.trained["streams"]) == (3, ["context", "motion", "residual"])
    assert {"himmel", "torch", "av"} <= header.versions.keys()


def test_a_written_answer_is_read_by_the_benchmarks_rules(evaluation: Any, tmp_path: Path, rows_of: RowsOf) -> None:
    evaluation.run(tmp_path / "run")
    free = rows_of(tmp_path / "run")[5]
    assert (free.choices, free.scores) == ((), None)
    assert isinstance(free.given, str)
    evaluation.run(tmp_path / "written", posing=Posing(generate=True, max_new_tokens=3))
    written = rows_of(tmp_path / "written")
    assert all(row.scores is None for row in written)
    assert written[5] == free


def test_a_broken_video_is_a_wrong_answer_that_is_listed(evaluation: Any, tmp_path: Path) -> None:
    summary = evaluation.run(tmp_path / "run")
    assert list(summary.failed) == ["4"]
    assert "broken.mp4" in summary.failed["4"]
    assert summary.overall.accuracy.total == 7
    row = load_run(tmp_path / "run").rows[3]
    assert (row.right, row.points, row.given, row.record) == (False, 0.0, None, None)


def test_all_broken_is_a_run_too(evaluation: Any, tmp_path: Path) -> None:
    summary = evaluation.run(tmp_path / "run", items=[evaluation.items()[3]])
    assert (summary.overall.accuracy.correct, summary.overall.accuracy.total, summary.costs) == (0, 1, None)


def test_batches_answer_as_single_questions_do(evaluation: Any, tmp_path: Path, rows_of: RowsOf) -> None:
    evaluation.run(tmp_path / "one")
    evaluation.run(tmp_path / "three", batch=3)
    for one, three in zip(rows_of(tmp_path / "one"), rows_of(tmp_path / "three"), strict=True):
        assert replace(one, scores=None) == replace(three, scores=None)
        assert one.scores == (None if three.scores is None else pytest.approx(three.scores, abs=1e-3))


def test_of_a_batch_time_is_counted_once(evaluation: Any, tmp_path: Path, checkpoint: Path) -> None:
    begin = time.perf_counter()
    summary = evaluation.run(tmp_path / "run", batch=3, session=Session(adapter=checkpoint))
    spent = time.perf_counter() - begin
    records = {row.id: row.record for row in load_run(tmp_path / "run").rows if row.record is not None}
    # Of the questions about a video, the first has it read.
    assert [name for name, record in records.items() if "read_ahead" in record.seconds] == ["1", "5"]
    assert 0 < records["1"].seconds["read_ahead"] < records["1"].seconds["first_token"]
    assert len({records[name].seconds["answer"] for name in "123"}) == 1
    assert summary.costs is not None
    assert sum(record.seconds["answer"] for record in records.values()) < spent
    assert summary.costs.first_token == pytest.approx(
        (records["1"].seconds["first_token"] + records["5"].seconds["first_token"]) / 2
    )


@pytest.mark.parametrize("batch", [1, 2])
def test_an_interrupted_run_asks_only_what_is_missing(
    evaluation: Any, tmp_path: Path, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    evaluation.run(tmp_path / "whole", batch=batch)
    asked: list[int] = []
    ask_all = Session.ask_all

    def counting(self: Session, questions: Any, **options: Any) -> Any:
        if sum(asked) >= 3:
            raise KeyboardInterrupt
        asked.append(len(questions))
        return ask_all(self, questions, **options)

    monkeypatch.setattr(Session, "ask_all", counting)
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(tmp_path / "stopped", batch=batch)
    there = len(rows_of(tmp_path / "stopped"))
    assert 3 <= there < 7
    asked.clear()
    monkeypatch.setattr(Session, "ask_all", ask_all)
    evaluation.run(tmp_path / "stopped", batch=batch)
    assert rows_of(tmp_path / "stopped") == rows_of(tmp_path / "whole")
    assert load_run(tmp_path / "stopped").header.summary is not None


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_stopped_run_asks_each_question_once_in_the_end(
    evaluation: Any, tmp_path: Path, data: Path, checkpoint: Path, rows_of: RowsOf, stop: signal.Signals, code: int
) -> None:
    evaluation.run(tmp_path / "whole")
    program = held_command("himmel.evaluation.runs.runner", count=3)
    command = [sys.executable, "-c", program, "eval", str(data / "questions.jsonl")]
    command += ["-o", str(tmp_path / "killed"), "--adapter", str(checkpoint), "--threads", "1", "--max-new-tokens", "3"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    answers = tmp_path / "killed" / "answers.jsonl"
    while not (answers.is_file() and answers.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.005)
    process.send_signal(stop)
    assert process.wait() == code
    there = read_rows(answers)
    with answers.open("ab") as file:
        file.write(b'{"id": "cut off in wri')
    evaluation.run(tmp_path / "killed")
    assert rows_of(tmp_path / "killed") == rows_of(tmp_path / "whole")
    assert read_rows(answers)[: len(there)] == there


def test_a_whole_run_is_not_asked_again(evaluation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluation.run(tmp_path / "run")
    monkeypatch.setattr(Session, "ask_all", None)
    assert evaluation.run(tmp_path / "run") == first


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"posing": Posing(max_new_tokens=3, scoring="raw")}, "settings scoring='prior', not 'raw'"),
        ({"method": build("himmel", num_anchors=2)}, "method num_anchors=None, not 2"),
        ({"host": "another"}, "host 'nano', not 'another'"),
    ],
)
def test_the_folder_of_another_run_is_refused(
    evaluation: Any, tmp_path: Path, changed: dict[str, Any], names: str
) -> None:
    evaluation.run(tmp_path / "run", items=evaluation.items()[:1])
    with pytest.raises(UsageError, match="holds another run") as raised:
        evaluation.run(tmp_path / "run", items=evaluation.items()[:1], **changed)
    assert names in str(raised.value)
    with pytest.raises(UsageError, match="questions 1, not 2"):
        evaluation.run(tmp_path / "run", items=evaluation.items()[:2])


def test_answers_to_unknown_questions_are_refused(evaluation: Any, tmp_path: Path) -> None:
    evaluation.run(tmp_path / "run", items=evaluation.items()[:1])
    answers = tmp_path / "run" / "answers.jsonl"
    answers.write_text(json.dumps({**json.loads(answers.read_text()), "id": "elsewhere"}) + "\n")
    with pytest.raises(HimmelError, match="answers the question 'elsewhere'"):
        evaluation.run(tmp_path / "run", items=evaluation.items()[:1])


def test_a_method_without_adapter_asks_the_host_alone(evaluation: Any, tmp_path: Path) -> None:
    evaluation.run(tmp_path / "run", items=evaluation.items()[:2], method=build("dense", num_frames=4))
    run = load_run(tmp_path / "run")
    assert (run.header.adapter, run.header.adapter_sha256) == (None, None)
    assert run.header.method["num_frames"] == 4
    records = [row.record for row in run.rows]
    assert all(record is not None and record.backend is None for record in records)
    assert [record.tokens["motion"] for record in records if record] == [0, 0]
    assert [len(record.frames) for record in records if record] == [4, 4]


@pytest.mark.parametrize("method", ["himmel", "dense"])
def test_a_picture_is_asked_about_with_the_adapter_and_without(
    evaluation: Any, tmp_path: Path, data: Path, method: str
) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(path)
    item = Item("p", "picture.png", path, "image", "What is it?", ("noise", "a cat"), ("A",))
    (tmp_path / "not.png").write_bytes(b"no picture")
    bad = replace(item, id="q", media="not.png", path=tmp_path / "not.png")
    # A kind of DDS that Pillow has no way to read.
    Image.open(path).save(tmp_path / "odd.dds")
    content = bytearray((tmp_path / "odd.dds").read_bytes())
    content[80:84] = bytes(4)
    (tmp_path / "odd.dds").write_bytes(content)
    odd = replace(item, id="r", media="odd.dds", path=tmp_path / "odd.dds")
    summary = evaluation.run(tmp_path / "run", items=[item, bad, odd], method=build(method))
    row = load_run(tmp_path / "run").rows[0]
    assert row.record is not None
    assert (row.media_kind, row.record.frames, row.record.tokens["motion"]) == ("image", (0,), 0)
    assert "not.png" in summary.failed["q"]
    assert "odd.dds" in summary.failed["r"]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_part_of_a_video_and_a_folder_of_pictures(evaluation: Any, tmp_path: Path, data: Path, batch: int) -> None:
    item = Item("part", "a.mp4", data / "a.mp4", "video", "Which way?", ("left", "right"), ("A",), start=0.4, end=0.8)
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(6):
        cv2.imwrite(str(folder / f"{index + 5}.jpg"), np.full((33, 47, 3), 40 * index, np.uint8))
    frames = replace(item, id="frames", media="frames", path=folder, kind="frames", start=None, end=None, frame_rate=3)
    nothing = replace(item, id="nothing", start=7.0, end=8.0)
    never = replace(item, id="never", start=1e300, end=None)
    items = [item, frames, nothing, never]
    summary = evaluation.run(tmp_path / "run", items=items, method=build("dense", num_frames=64), batch=batch)
    assert list(summary.failed) == ["never", "nothing"]
    part, pictures, *_ = (row.record for row in load_run(tmp_path / "run").rows)
    assert part is not None
    assert pictures is not None
    # Pictures 10 to 19 of 24, of the very file, which other harnesses are asked about by `Video.between` too.
    assert part.times == pytest.approx([k / 25 for k in range(10)])
    assert part.video_sha256 == hashlib.sha256((data / "a.mp4").read_bytes()).hexdigest()
    assert pictures.times == pytest.approx([k / 3 for k in range(6)])


@pytest.mark.parametrize("batch", [1, 2])
def test_where_nothing_can_be_removed_all_of_the_prompt_is_asked_and_told(
    evaluation: Any, tmp_path: Path, write_clip: Callable[..., Path], rows_of: RowsOf, batch: int
) -> None:
    """EVS always keeps the first frame, and one video has no other."""
    path = write_clip(tmp_path / "one.mp4", num_frames=1)
    several = evaluation.items()[0]
    single = replace(several, id="one", media="one.mp4", path=path)
    method = build("evs", num_frames=4)
    summary = evaluation.run(tmp_path / "evs", items=[several, single], method=method, batch=batch)
    evaluation.run(tmp_path / "dense", items=[several, single], method=build("dense", num_frames=4), batch=batch)
    (_, asked), (_, plain) = rows_of(tmp_path / "evs"), rows_of(tmp_path / "dense")
    assert asked.record is not None
    assert asked.record.removed is not None
    assert asked.record.removed.before == asked.record.removed.after == asked.record.tokens["image"]
    assert asked.scores == pytest.approx(plain.scores, abs=1e-5)
    assert replace(asked, scores=None, record=replace(asked.record, removed=None)) == replace(plain, scores=None)
    assert summary.costs is not None
    assert summary.costs.unreduced == 1


@pytest.mark.parametrize(
    ("method", "options"), [("evs", {}), ("look_m", {"important_ratio": 1.0, "recent_ratio": 0.0}), ("hermes", {})]
)
def test_a_run_in_which_nothing_at_all_is_removed_fails(
    evaluation: Any, tmp_path: Path, method: str, options: dict[str, float]
) -> None:
    chosen = build(method, num_frames=1, **options)
    first = evaluation.items()[0]
    with pytest.raises(UsageError, match="removed nothing of the only prompt so far"):
        evaluation.run(tmp_path / "run", items=[first], method=chosen)
    with pytest.raises(UsageError, match="removed nothing of the only prompt so far"):
        evaluation.run(tmp_path / "run", items=[first], method=chosen)
    many = [replace(first, id=str(number)) for number in range(9)]
    with pytest.raises(UsageError, match="removed nothing of any of the 5 prompts so far"):
        evaluation.run(tmp_path / "many", items=many, method=chosen)
    assert len(read_rows(tmp_path / "many" / "answers.jsonl")) == 5
    assert load_run(tmp_path / "many", whole=False).header.summary is None


def test_a_video_is_opened_once_for_questions_about_its_parts(
    evaluation: Any, tmp_path: Path, write_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "parts.mp4", num_frames=24)
    item = Item("0", "parts.mp4", path, "video", "Which way?", ("left", "right"), ("A",))
    items = [replace(item, id=str(number), start=number / 10, end=0.9) for number in range(3)]
    opened: list[object] = []
    initialise = Video.__init__

    def counting(self: Video, source: Any) -> None:
        opened.append(source)
        initialise(self, source)

    monkeypatch.setattr(Video, "__init__", counting)
    evaluation.run(tmp_path / "run", items=items, method=build("dense", num_frames=2))
    assert len(opened) == 1
    assert len({row.record.times for row in load_run(tmp_path / "run").rows if row.record is not None}) == 3


def test_options_that_cannot_be_told_apart_are_a_wrong_answer(evaluation: Any, tmp_path: Path, data: Path) -> None:
    item = Item("same", "a.mp4", data / "a.mp4", "video", "Which way?", ("left", "left"), ("A",))
    summary = evaluation.run(tmp_path / "run", items=[item])
    assert "same text twice" in summary.failed["same"]


def test_two_processes_do_not_write_to_one_run(evaluation: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    hold = (
        "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(folder / ".lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(HimmelError, match="Another process is writing"):
        evaluation.run(folder)
    holder.kill()
    holder.wait()


def test_subtitles_go_before_the_question(evaluation: Any, tmp_path: Path, data: Path) -> None:
    spoken = tmp_path / "said.srt"
    spoken.write_text("1\n00:00:00,000 --> 00:00:02,000\nIt goes to the left.\n")
    item = Item("s", "a.mp4", data / "a.mp4", "video", "Which way?", ("left", "right"), ("A",), subtitles=spoken)
    asked = Posing(subtitles=True)
    evaluation.run(tmp_path / "with", items=[item], posing=asked)
    evaluation.run(tmp_path / "without", items=[item], posing=replace(asked, subtitles=False))
    (one,), (other,) = (load_run(tmp_path / name).rows for name in ("with", "without"))
    assert one.record is not None
    assert other.record is not None
    assert one.record.tokens["text"] > other.record.tokens["text"]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_prompt_that_is_too_long_is_a_wrong_answer_but_not_the_first(
    evaluation: Any, tmp_path: Path, batch: int
) -> None:
    first, second = evaluation.items()[:2]
    long = replace(second, question="What moves? " * 2000)
    summary = evaluation.run(tmp_path / "run", items=[first, long], batch=batch)
    assert "The prompt takes" in summary.failed["2"]
    assert "1" not in summary.failed
    with pytest.raises(UsageError, match="The prompt takes"):
        evaluation.run(tmp_path / "other", items=[replace(long, id="0"), first], batch=batch)
