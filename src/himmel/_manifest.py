"""What a folder should hold: sizes and hashes of its files, written when it is made and checked when it is used."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from himmel._files import atomic_path

MANIFEST = "manifest.json"


class _Entry(NamedTuple):
    size: int
    sha256: str


def write_manifest(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write `manifest.json` into a folder.

    Args:
        folder: whose files are whole.
        names: files to list, relative to the folder; None for all that are in it.
    """
    if names is None:
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = {
        name: {"size": (folder / name).stat().st_size, "sha256": _hash(folder / name)}
        for name in sorted(names)
        if name != MANIFEST
    }
    with atomic_path(folder / MANIFEST) as file:
        file.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def find_damage(folder: Path, *, fully: bool = False) -> str | None:
    """What is wrong with a folder's files, in a clause; None if nothing is, or if the folder has no manifest.

    Args:
        folder: where they are.
        fully: also compare hashes, which reads every byte; else sizes alone, which costs microseconds.
    """
    if not (folder / MANIFEST).is_file():
        return None
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = {str(name): _Entry(int(one["size"]), str(one["sha256"])) for name, one in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    for name, entry in listed.items():
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if size != entry.size:
            return f"{name} has {size:,} bytes where {entry.size:,} were written"
        if fully and _hash(folder / name) != entry.sha256:
            return f"{name} does not have the contents that were written"
    return None


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
