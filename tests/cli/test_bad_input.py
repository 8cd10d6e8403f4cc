"""Whatever a person hands in by mistake: one sentence, exit code 1 or 2, no traceback, nothing half-written."""

import json
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

Run = Callable[..., tuple[int, str, str]]


def missing(folder: Path) -> Path:
    return folder / "nowhere.mp4"


def directory(folder: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir()
    return path


def text_renamed(folder: Path) -> Path:
    path = folder / "notes.mp4"
    path.write_text("Dear diary, today I filmed nothing.\n" * 100)
    return path


def zero_length(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def audio_only(folder: Path) -> Path:
    path = folder / "sound.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.sin(np.arange(8000) / 10).astype("<i2").tobytes())
    return path


def audio_only_mp4(folder: Path) -> Path:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for start in range(0, 8192, 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def truncated(folder: Path) -> Path:
    """The index of an mp4 is at its end, so a truncated file has none."""
    path = folder / "half.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        for level in range(0, 240, 10):
            picture = np.full((64, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[:800])
    return path


UNREADABLE = [missing, directory, text_renamed, zero_length, audio_only, audio_only_mp4, truncated]


def further(verb: str, folder: Path) -> tuple[str | Path, ...]:
    """What a verb needs besides its video."""
    also = "--picture", folder / "maps.png"
    further: dict[str, tuple[str | Path, ...]] = {
        "streams": ("-o", folder / "maps.npz", *also),
        "ask": ("What moves?", *also),
        "describe": also,
        "view": ("-o", folder / "maps.html"),
    }
    return further[verb]


def assert_one_sentence(err: str, *, names: str) -> None:
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert names in err
    assert "Traceback" not in err
    assert "unexpected" not in err
    assert err.rstrip().endswith(".")


@pytest.mark.parametrize("make", UNREADABLE)
@pytest.mark.parametrize("verb", ["streams", "ask", "describe", "view"])
def test_unreadable_file(run: Run, tmp_path: Path, make: Callable[[Path], Path], verb: str) -> None:
    video = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    outputs = further(verb, tmp_path)
    code, out, err = run(verb, video, *outputs)
    assert (code, out) == (1, "")
    assert_one_sentence(err, names=video.name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("",), "question is empty"),
        (("  \n",), "question is empty"),
        (("Which?", "--choice", "left"), "'left'"),
        (("Which?", "--choice", "left", "--choice", " "), "options ['left', ' '] is empty"),
        (("Which?", "--choice", "left", "--choice", "left"), "twice"),
    ],
)
def test_question_or_choices_that_make_no_sense(
    run: Run, encode_clip: Callable[..., Path], arguments: tuple[str, ...], names: str
) -> None:
    code, out, err = run("ask", encode_clip("clip.mp4"), *arguments)
    assert (code, out) == (2, "")
    assert_one_sentence(err, names=names)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--quantization", "8bit"), "'--quantization': '8bit'"),
        (("--device-map", "spread"), "'--device-map': 'spread'"),
        (("--device-map", "auto", "--device", "cpu"), "give one of them"),
    ],
)
def test_places_for_a_host_that_cannot_be(
    run: Run, encode_clip: Callable[..., Path], options: tuple[str, ...], names: str
) -> None:
    code, out, err = run("ask", encode_clip("clip.mp4"), "Which?", *options)
    assert (code, out) == (2, "")
    assert_one_sentence(err, names=names)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask",),
        ("ask", "clip.mp4"),
        ("ask", "clip.mp4", "What?", "--anchor", "3"),
        ("ask", "clip.mp4", "What?", "--anchors", "0"),
        ("ask", "clip.mp4", "What?", "--anchors", "65"),
        ("ask", "clip.mp4", "What?", "--anchors", "many"),
        ("ask", "clip.mp4", "What?", "--steps", "129"),
        ("ask", "clip.mp4", "What?", "--max-new-tokens", "0"),
        ("streams", "clip.mp4"),
        ("streams", "clip.mp4", "-o", "maps.npz", "--steps", "0"),
        ("gaze", "clip.mp4"),
        ("--loud",),
        ("train",),
    ],
)
def test_wrong_flags_and_counts_are_usage_errors(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    # The help that would have prevented it is named.
    verb = f"{arguments[0]} " if arguments[0] in ("ask", "streams", "train") else ""
    assert_one_sentence(err, names=f"see `himmel {verb}--help`")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("ask", "clip.mp4", "What?", "--anchor", "3"), "--anchors"),
        (("ask", "clip.mp4", "What?", "--anchors", "65"), "less than or equal to 64"),
        (("ask", "clip.mp4", "What?", "--placement", "anywhere"), "'per_anchor'"),
        (("streams", "clip.mp4", "-o", "maps.npz", "--cell", "7"), "'64'"),
        (("nano", "bench", "--condition", "dark"), "see `himmel nano bench --help`"),
        (("nano", "sample", "clip.mp4", "--clip", "cats"), "'carphone'"),
        (("merge", "checkpoint", "-o", "out", "--dtype", "int8"), "'bfloat16'"),
    ],
)
def test_a_wrong_option_is_told_what_there_is(run: Run, arguments: tuple[str, ...], names: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert_one_sentence(err, names=names)


@pytest.mark.parametrize("verb", ["streams", "ask", "describe", "view"])
@pytest.mark.parametrize(
    ("path", "names"), [("https://example.invalid/clip.mp4", "'https://example.invalid/clip.mp4'"), ("a" * 5000, "aaa")]
)
def test_a_path_reaches_the_video_as_it_was_written(run: Run, tmp_path: Path, verb: str, path: str, names: str) -> None:
    outputs = further(verb, tmp_path)
    code, out, err = run(verb, path, *outputs)
    assert (code, out) == (1, "")
    assert_one_sentence(err, names=names)


@pytest.mark.parametrize("verb", ["streams", "ask", "describe", "view"])
def test_an_empty_path_is_named(run: Run, tmp_path: Path, verb: str) -> None:
    outputs = further(verb, tmp_path)
    code, out, err = run(verb, "", *outputs)
    assert (code, out) == (2, "")
    assert_one_sentence(err, names="'VIDEO': The path is empty")


@pytest.mark.parametrize("arguments", [(), ("nano",), ("eval",), ("recipe",)])
def test_a_command_without_its_verb_prints_help(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, err) == (2, "")
    assert "Usage: himmel" in out


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--backend", "magic"), "'magic'"),
        (("--anchor-mode", "random"), "'random'"),
        (("--cell", "7"), "7"),
    ],
)
def test_unknown_choices_name_the_known_ones(
    run: Run, encode_clip: Callable[..., Path], tmp_path: Path, options: tuple[str, str], names: str
) -> None:
    code, out, err = run("streams", encode_clip("clip.mp4"), "-o", tmp_path / "maps.npz", *options)
    assert (code, out) == (2, "")
    assert_one_sentence(err, names=names)
    assert not (tmp_path / "maps.npz").exists()


@pytest.mark.parametrize("place", ["nowhere/maps.npz", "maps.zip", "folder.npz"])
def test_output_that_cannot_be_written(run: Run, encode_clip: Callable[..., Path], tmp_path: Path, place: str) -> None:
    (tmp_path / "folder.npz").mkdir()
    code, out, err = run("streams", encode_clip("clip.mp4"), "-o", tmp_path / place)
    assert (code, out) == (2, "")
    assert_one_sentence(err, names=Path(place).name if "nowhere" not in place else "nowhere")


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("one.mp4", {"num_frames": 1}, 0),
        ("two.mp4", {"num_frames": 2}, 0),
        ("tiny.mp4", {"size": (8, 8), "num_frames": 12}, 4),
        ("odd.mp4", {"size": (37, 51), "num_frames": 12, "pix_fmt": "yuv444p"}, 4),
        ("noindex.h264", {"num_frames": 12}, 4),
    ],
)
def test_unusual_files_work(
    run: Run,
    encode_clip: Callable[..., Path],
    tmp_path: Path,
    name: str,
    options: dict[str, object],
    steps: int,
) -> None:
    output = tmp_path / "maps.npz"
    code, out, err = run("streams", encode_clip(name, **options), "-o", output, "--anchors", "8", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert 1 <= len(said["anchors"]) <= min(8, said["num_frames"])
    assert sum(len(interval["frames"]) for interval in said["intervals"]) >= steps
    assert output.stat().st_size > 0


def test_more_anchors_than_frames_clamp_and_say_so(run: Run, encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    video = encode_clip("short.mp4", num_frames=3)
    code, out, _ = run("streams", video, "-o", tmp_path / "maps.npz", "--anchors", "8", "--json")
    said = json.loads(out)
    assert (code, len(said["anchors"])) == (0, 3)
    assert any("8" in note and "3" in note for note in said["notes"])


def test_broken_off_stream_works_or_is_one_sentence(run: Run, encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    """A raw stream has no index to lose: what is left of it is read."""
    whole = encode_clip("whole.h264", num_frames=40, options={"g": "10"})
    rest = tmp_path / "rest.h264"
    rest.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 5])
    code, out, err = run("streams", rest, "-o", tmp_path / "maps.npz", "--anchors", "2", "--json")
    assert (code, err) == (0, "")
    assert 0 < json.loads(out)["num_frames"] < 40


def test_the_installed_command_says_one_sentence() -> None:
    command = [Path(sys.executable).parent / "himmel", "ask", "nowhere.mp4", "What moves?"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert_one_sentence(done.stderr, names="nowhere.mp4")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("train", "nowhere.yaml"), "nowhere.yaml"),
        (("train", "nowhere.yaml", "--set", "steps"), "KEY=VALUE"),
        (("train", "default", "--base", "nanu"), "nano"),
        (("recipe", "show", "defalt"), "default"),
        (("recipe", "show", "default", "--set", "stage1.sed=3"), "stage1.seed"),
        (("recipe", "list", "--table", "9999"), "9999"),
    ],
)
def test_recipes_that_do_not_exist(run: Run, arguments: tuple[str, ...], names: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert_one_sentence(err, names=names)
