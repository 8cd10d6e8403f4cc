import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from himmel.data.workers import MEGABYTE, Limits
from himmel.errors import HimmelError, UsageError
from himmel.evaluation.compression import build_ladder
from himmel.evaluation.recoding import Coding
from himmel.video import Video

Encode = Callable[..., Path]
RUNGS = [Coding("qp", 20, "ultrafast"), Coding("crf", 45, "ultrafast")]


@pytest.fixture
def data(encode_clip: Encode, tmp_path: Path) -> Path:
    (tmp_path / "data" / "videos").mkdir(parents=True)
    encode_clip("data/videos/a.mp4", num_frames=10)
    encode_clip("data/videos/b.avi", codec="mpeg4", num_frames=12)
    (tmp_path / "data" / "questions.jsonl").write_text('{"video": "videos/a.mp4", "question": "?", "answer": "!"}\n')
    return tmp_path / "data"


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_each_rung_is_the_data_set_with_other_videos(data: Path, tmp_path: Path) -> None:
    rungs = build_ladder(data, tmp_path / "ladder", codings=RUNGS)
    assert [rung.name for rung in rungs] == ["qp-20", "crf-45"]
    for rung in rungs:
        folder = tmp_path / "ladder" / rung.name
        assert files(folder) == files(data)
        assert (folder / "questions.jsonl").read_bytes() == (data / "questions.jsonl").read_bytes()
        assert Video(folder / "videos" / "b.avi").codec == "h264"
        assert (rung.clips, rung.pictures, rung.failed) == (2, 22, ())
        assert rung.seconds == pytest.approx(22 / 25)
        saved = json.loads((tmp_path / "ladder" / f"{rung.name}.json").read_text())
        assert saved == json.loads(json.dumps(asdict(rung)))
    first, second = (rung.signals["bits_per_second"] for rung in rungs)
    assert first.source == second.source
    assert first.rung is not None
    assert second.rung is not None
    assert first.rung > second.rung
    size = sum(8 * (tmp_path / "ladder" / "qp-20" / "videos" / name).stat().st_size for name in ("a.mp4", "b.avi"))
    # The files hold a few hundred bytes besides the pictures.
    assert 0.5 * size < first.rung * 22 / 25 < size


@pytest.mark.slow
def test_a_second_run_encodes_only_what_is_missing_or_has_changed(
    data: Path, encode_clip: Encode, tmp_path: Path
) -> None:
    ladder = tmp_path / "ladder"
    first = build_ladder(data, ladder, codings=RUNGS)
    clips = [ladder / rung.name / "videos" / name for rung in first for name in ("a.mp4", "b.avi")]
    before = [os.stat(clip).st_mtime_ns for clip in clips]
    assert build_ladder(data, ladder, codings=RUNGS) == first
    assert [os.stat(clip).st_mtime_ns for clip in clips] == before
    # One is gone, and the line of another was cut short when the run was killed.
    clips[0].unlink()
    journal = ladder / "crf-45.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    assert build_ladder(data, ladder, codings=RUNGS) == first
    changed = [os.stat(clip).st_mtime_ns != time for clip, time in zip(clips, before, strict=True)]
    assert changed == [True, False, False, True]
    # Other settings, or another video under the same name, are encoded anew.
    slower = build_ladder(data, ladder, codings=[Coding("qp", 20, "fast")])
    assert slower[0].signals != first[0].signals
    encode_clip("data/videos/a.mp4", num_frames=14)
    assert build_ladder(data, ladder, codings=RUNGS[:1])[0].pictures == 26


def test_videos_that_fail_are_listed_and_missing(data: Path, tmp_path: Path) -> None:
    (data / "videos" / "text.mp4").write_text("no video")
    (data / "videos" / "empty.webm").touch()
    rung = build_ladder(data, tmp_path / "ladder", codings=RUNGS[:1], workers=2)[0]
    assert (rung.clips, [one.path for one in rung.failed]) == (2, ["videos/empty.webm", "videos/text.mp4"])
    assert all(one.path in one.error and one.error.endswith(".") for one in rung.failed)
    assert files(tmp_path / "ladder" / "qp-20") == ["questions.jsonl", "videos/a.mp4", "videos/b.avi"]


def test_a_clip_that_takes_too_long_is_missing_and_tried_again(data: Path, tmp_path: Path) -> None:
    short = Limits(seconds=0.01, memory=1024 * MEGABYTE)
    rung = build_ladder(data, tmp_path / "ladder", codings=RUNGS[:1], limits=short)[0]
    assert (rung.clips, len(rung.failed), rung.psnr, rung.signals["vectors"].ratio) == (0, 2, None, None)
    assert "was not read within 0.01 s" in rung.failed[0].error
    assert build_ladder(data, tmp_path / "ladder", codings=RUNGS[:1])[0].clips == 2


def test_what_makes_no_ladder_is_told_in_a_sentence(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(HimmelError, match="There is no folder"):
        build_ladder(tmp_path / "nowhere", tmp_path / "ladder", codings=RUNGS)
    with pytest.raises(HimmelError, match="holds no files that end in"):
        build_ladder(tmp_path / "empty", tmp_path / "ladder", codings=RUNGS)
    with pytest.raises(UsageError, match="is inside the data set"):
        build_ladder(data, data / "ladder", codings=RUNGS)
    with pytest.raises(UsageError, match="not all different"):
        build_ladder(data, tmp_path / "ladder", codings=[RUNGS[0], RUNGS[0]])
    assert not (tmp_path / "ladder").exists()
    (tmp_path / "file").touch()
    with pytest.raises(HimmelError, match="file"):
        build_ladder(data, tmp_path / "file", codings=RUNGS)
