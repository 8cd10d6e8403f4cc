import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from himmel.data.audit import audit_folder
from himmel.data.facts import read_facts
from himmel.data.journal import read_audit
from himmel.data.workers import MEGABYTE, Limits
from himmel.errors import HimmelError, UsageError
from himmel.video import Video
from odd_folders import NO_UNICODE, close_folder, name_without_unicode

Encode = Callable[..., Path]


def lines(path: Path) -> list[str]:
    return [one.path for one in read_audit(path)]


@pytest.mark.parametrize("bframes", [0, 1, 3])
def test_the_reordered_share_is_that_of_b_pictures(encode_clip: Encode, bframes: int) -> None:
    clip = encode_clip("a.mp4", options={"bf": str(bframes), "g": "13", "x264-params": "b-adapt=0:scenecut=0"})
    with av.open(str(clip)) as container:
        types = Counter(PictureType(frame.pict_type).name for frame in container.decode(video=0))
    assert (types["B"] > 0) == (bframes > 0)
    assert read_facts(clip).reordered == pytest.approx(types["B"] / types.total())


def test_facts_are_those_of_the_file(encode_clip: Encode) -> None:
    clip = encode_clip(
        "a.mkv",
        size=(160, 128),
        rate=10,
        num_frames=25,
        options={"g": "10", "x264-params": "scenecut=0:bframes=0", "profile": "main"},
    )
    facts = read_facts(clip)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        bits = 8 * sum(packet.size for packet in container.demux(stream))
    assert (facts.codec, facts.profile, facts.container, facts.backend) == ("h264", "Main", "matroska", "bitstream")
    assert (facts.width, facts.height, facts.rotation, facts.pictures) == (160, 128, 0, 25)
    assert (facts.duration, facts.rate) == (pytest.approx(2.5, abs=2e-3), pytest.approx(10, rel=1e-3))
    assert (facts.keyframes, facts.longest_gap) == (3, pytest.approx(1.0, abs=2e-3))
    assert facts.bits_per_second == pytest.approx(bits / facts.duration)


def test_the_backend_is_the_one_that_a_decomposition_takes(encode_clip: Encode) -> None:
    clips = [
        encode_clip("a.mp4"),
        encode_clip("a.avi", codec="mpeg4"),
        encode_clip("a.webm", codec="libvpx-vp9", num_frames=8),
        encode_clip("a.mov", codec="mjpeg", pix_fmt="yuvj420p", num_frames=8),
    ]
    for clip in clips:
        taken = Video(clip).decompose(num_anchors=2, steps_per_interval=2)
        facts = read_facts(clip)
        assert (facts.backend, facts.backend_reason) == (taken.backend, taken.backend_reason)
    assert {read_facts(clip).backend for clip in clips} == {"bitstream", "libav", "proxy"}


def test_one_picture_is_a_video(encode_clip: Encode) -> None:
    facts = read_facts(encode_clip("a.mp4", num_frames=1))
    assert (facts.pictures, facts.keyframes, facts.reordered) == (1, 1, 0)


def test_a_folder_is_read_with_the_folders_in_it(encode_clip: Encode, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    encode_clip("deep/er/a.MP4")
    encode_clip("b.avi", codec="mpeg4", num_frames=50)
    encode_clip(".hidden.mp4")
    (tmp_path / "notes.txt").write_text("no video")
    found = audit_folder(tmp_path)
    assert (found.files, found.readable, found.read, found.unreadable) == (2, 2, 2, ())
    assert {(kind.codec, kind.backend, kind.container, kind.files, kind.share) for kind in found.kinds} == {
        ("h264", "bitstream", "mp4", 1, 0.5),
        ("mpeg4", "libav", "avi", 1, 0.5),
    }
    assert found.hours == pytest.approx((40 + 50) / 25 / 3600)
    assert (found.lengths["up to 30 s"], found.sizes) == (2, {"160 x 128": 2})
    assert (found.spreads["duration"].least, found.spreads["duration"].most) == (1.6, 2.0)
    assert "2 of 2 files can be read" in found.sentence


def test_every_file_takes_other_endings_but_not_its_own_output(
    encode_clip: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_clip("film.dat", container_format="mp4")
    output = tmp_path / "audit.jsonl"
    with pytest.raises(HimmelError, match="holds no files that end in"):
        audit_folder(tmp_path, output=output)
    assert not output.exists()
    monkeypatch.chdir(tmp_path)
    for place in (output, "audit.jsonl"):
        found = audit_folder(tmp_path, output=place, every_file=True)
        assert (found.files, found.readable, lines(output)) == (1, 1, ["film.dat"])


def make_bad_files(folder: Path, clip: Path) -> set[str]:
    whole = clip.read_bytes()
    (folder / "text.mp4").write_text("Dear diary, today I filmed nothing.\n" * 100)
    (folder / "empty.mp4").touch()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "loose.mp4").symlink_to(folder / "nowhere.mp4")
    with av.open(str(folder / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return {"text.mp4", "empty.mp4", "cut.mp4", "loose.mp4", "sound.mp4"}


def test_files_that_cannot_be_read_are_listed_with_a_sentence_each(encode_clip: Encode, tmp_path: Path) -> None:
    bad = make_bad_files(tmp_path, encode_clip("good.mp4"))
    output = tmp_path / "audit.jsonl"
    found = audit_folder(tmp_path, output=output, workers=2)
    assert (found.files, found.readable) == (1 + len(bad), 1)
    assert {one.path for one in found.unreadable} == bad
    for one in found.unreadable:
        assert (one.cause, one.error[-1], one.error.count("\n")) == ("refused", ".", 0)
        assert one.path in one.error
    assert sorted(lines(output)) == sorted(bad | {"good.mp4"})


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is closed to this user")
def test_what_the_user_may_not_read_is_listed(encode_clip: Encode, tmp_path: Path) -> None:
    encode_clip("a.mp4").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    found = audit_folder(tmp_path)
    assert {one.path for one in found.unreadable} == {"a.mp4", "closed"}


def test_a_folder_that_cannot_be_listed_is_a_line_of_its_own(
    encode_clip: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_clip("a.mp4")
    close_folder(tmp_path / "closed", monkeypatch)
    output = tmp_path / "audit.jsonl"
    for _ in range(2):
        found = audit_folder(tmp_path, output=output)
        assert [one.path for one in found.unreadable] == ["closed"]
        assert "cannot be listed (permission denied)" in found.unreadable[0].error
        assert found.readable == 1


def test_one_that_takes_too_long_or_too_much_costs_itself_alone(encode_clip: Encode, tmp_path: Path) -> None:
    encode_clip("a.mp4")
    encode_clip("large.mkv", [np.zeros((8000, 8000, 3), np.uint8)], codec="mjpeg", pix_fmt="yuvj420p")
    found = audit_folder(tmp_path, limits=Limits(memory=40 * MEGABYTE))
    assert (found.readable, [one.path for one in found.unreadable]) == (1, ["large.mkv"])
    # PyAV 15 says of a picture for which there is no memory that it is damaged.
    says_so = int(av.__version__.split(".")[0]) >= 16
    assert found.unreadable[0].cause == ("memory" if says_so else "refused")
    assert ("more than 40 MB" if says_so else "can be decoded") in found.unreadable[0].error
    found = audit_folder(tmp_path, limits=Limits(seconds=0.02))
    assert "large.mkv" in {one.path for one in found.unreadable}
    assert {one.cause for one in found.unreadable} == {"time"}
    assert "was not read within 0.02 s" in found.unreadable[0].error


def test_a_second_run_reads_only_what_is_missing_or_has_changed(encode_clip: Encode, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    clips = [encode_clip(f"videos/{name}.mp4", num_frames=8) for name in "abcd"]
    output = tmp_path / "audit.jsonl"
    assert audit_folder(tmp_path / "videos", output=output).read == 4
    assert audit_folder(tmp_path / "videos", output=output).read == 0
    encode_clip("videos/b.mp4", num_frames=16)
    clips[2].unlink()
    encode_clip("videos/e.mp4", num_frames=8)
    found = audit_folder(tmp_path / "videos", output=output)
    assert (found.read, found.files, found.readable) == (2, 4, 4)
    assert lines(output)[4:] == ["b.mp4", "e.mp4"]
    # The last line of a file counts, and that of a file that is gone does not.
    assert found.hours == pytest.approx((8 + 16 + 8 + 8) / 25 / 3600)


def test_failures_are_read_again_only_if_that_is_asked_for(encode_clip: Encode, tmp_path: Path) -> None:
    encode_clip("a.mp4")
    (tmp_path / "b.mp4").write_text("no video")
    output = tmp_path / "audit.jsonl"
    runs = [audit_folder(tmp_path, output=output, retry=retry).read for retry in (False, False, True)]
    assert runs == [2, 0, 1]


def test_a_line_that_a_killed_run_left_half_written_is_written_anew(encode_clip: Encode, tmp_path: Path) -> None:
    for name in "abc":
        encode_clip(f"{name}.mp4", num_frames=8)
    output = tmp_path / "audit.jsonl"
    audit_folder(tmp_path, output=output)
    whole = output.read_bytes()
    output.write_bytes(whole[:-20])
    assert audit_folder(tmp_path, output=output).read == 1
    kept = [json.loads(line) for line in output.read_text().splitlines()]
    assert [one["path"] for one in kept] == ["a.mp4", "b.mp4", "c.mp4"]
    # A file that consists of half a line.
    output.write_bytes(whole[:30])
    assert audit_folder(tmp_path, output=output).read == 3


def test_an_output_that_holds_something_else_is_left_alone(encode_clip: Encode, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    encode_clip("one/a.mp4", num_frames=8)
    encode_clip("two/b.mp4", num_frames=8)
    output = tmp_path / "audit.jsonl"
    audit_folder(tmp_path / "one", output=output)
    before = output.read_bytes()
    with pytest.raises(UsageError, match="audit of another folder"):
        audit_folder(tmp_path / "two", output=output)
    assert output.read_bytes() == before
    output.write_text('{"score": 1}\n')
    with pytest.raises(UsageError, match=r"Line 1 of .* is not one of an audit"):
        audit_folder(tmp_path / "one", output=output)
    with pytest.raises(UsageError, match="is a folder"):
        audit_folder(tmp_path / "one", output=tmp_path)


@pytest.mark.parametrize(
    "content", [b"Notes of mine", b"one\ntwo", b"\xff\xd8 \n \x00 no text", b'{"path": 1}', b"[" * 100_000 + b"\n"]
)
def test_a_file_of_the_users_is_never_cut(encode_clip: Encode, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "videos").mkdir()
    encode_clip("videos/a.mp4", num_frames=8)
    output = tmp_path / "notes.txt"
    output.write_bytes(content)
    with pytest.raises(UsageError, match="name a new file"):
        audit_folder(tmp_path / "videos", output=output)
    assert output.read_bytes() == content


def test_names_that_are_no_unicode_are_kept(encode_clip: Encode, tmp_path: Path) -> None:
    name_without_unicode(encode_clip("a.mp4", num_frames=8))
    output = tmp_path / "audit.jsonl"
    assert audit_folder(tmp_path, output=output).readable == 1
    assert [os.fsencode(path) for path in lines(output)] == [NO_UNICODE]
    assert audit_folder(tmp_path, output=output).read == 0
