"""Every video file of a folder, opened once: what it is, which backend would read it, or why it cannot be read."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from himmel._progress import track
from himmel._trouble import explain
from himmel.data.audit_summary import AuditSummary, summarise
from himmel.data.facts import VideoFacts, read_facts
from himmel.data.journal import Audited, mend, read_audit
from himmel.data.workers import MEGABYTE, Failure, Limits, Outcome, run_apart
from himmel.errors import HimmelError, UsageError
from himmel.video.file.source import show

VIDEO_SUFFIXES: Final = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".hevc", ".ivf", ".m2ts", ".m2v"),
    *(".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".rm", ".rmvb"),
    *(".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
"""Endings of files that are taken for videos, in lower case."""

_RESULT: Final = "audit.jsonl"


@dataclass(frozen=True)
class Listed:
    """A file that is to be read, or a folder that cannot be listed.

    Attributes:
        path: relative to the audited folder.
        bytes, modified: see `Audited`; 0 where they can't be had.
        error: why the folder cannot be listed.
    """

    path: str
    bytes: int
    modified: int
    error: str | None = None


def audit_folder(
    folder: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    workers: int = 1,
    limits: Limits | None = None,
    every_file: bool = False,
    retry: bool = False,
) -> AuditSummary:
    """Open each video file of a folder and of all folders in it, in processes of their own.

    Memory does not depend on the videos; a few hundred bytes are kept for each file. Links to folders are not followed,
    and what has a name that begins with a dot is left out.

    Args:
        output: a JSON Lines file, a line a file (see `Audited`). One that is there already is continued: only files
            that it lacks, or that have changed since, are read. Lines of files that are gone don't count.
        workers: processes.
        limits: what one file may take; None: 120 s and 2 GB.
        every_file: read files with any ending; otherwise those with one of `VIDEO_SUFFIXES`.
        retry: read those again that could not be read.

    Raises:
        HimmelError: there is no such folder, or it holds no such files, or `output` cannot be written.
        UsageError: `output` holds something else.
    """
    root = Path(folder)
    check_folder(root)
    bounds = limits or Limits()
    own = _place_in(root, output)
    listed = [file for file in list_files(root, every_file=every_file) if file.path != own]
    if not listed:
        what = "files" if every_file else f"files that end in {', '.join(VIDEO_SUFFIXES)}"
        more = "name another folder" if every_file else "name another folder, or take every file (--every-file)"
        raise HimmelError(f"{show(root)} holds no {what}; {more}.")
    with _journal(output) as journal:
        missing = _missing(listed, journal, retry=retry)
        # Only now: what is no audit was refused as it was.
        mend(journal)
        with journal.open("a", encoding="ascii") as lines:
            for one in track(_read(root, missing, workers, bounds), what="Reading files", total=len(missing)):
                lines.write(one.to_line())
                lines.flush()
        current = {file.path: (file.bytes, file.modified) for file in listed}
        return summarise(root, lambda: read_audit(journal), current, read=len(missing))


def check_folder(folder: Path) -> None:
    """Refuse what is no folder that can be listed.

    Raises:
        HimmelError: there is none, it is a file, or access is refused.
    """
    try:
        is_folder = folder.is_dir()
        if is_folder:
            with os.scandir(folder) as entries:
                next(entries, None)
            return
        is_file = folder.exists()
    except OSError as error:
        raise HimmelError(
            explain(error, place=folder) or f"{show(folder)} cannot be listed ({error.strerror})."
        ) from error
    except ValueError as error:
        raise HimmelError(f"{show(folder)} cannot be the name of a folder ({error}); check the path.") from error
    if is_file:
        raise HimmelError(f"{show(folder)} is a file; name the folder that holds it.")
    raise HimmelError(f"There is no folder {show(folder)}; check the path.")


def list_files(folder: Path, *, every_file: bool) -> Iterator[Listed]:
    """The files of a folder and of the folders in it, sorted folder by folder, and those folders that are closed."""
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (every_file or Path(name).suffix.lower() in VIDEO_SUFFIXES):
                path = Path(place, name)
                size, modified = _status(path)
                yield Listed(path.relative_to(folder).as_posix(), size, modified)
    for error in closed:
        path = Path(os.fsdecode(error.filename or folder))
        reason = (error.strerror or "unknown error").lower()
        said = f"{show(path)} cannot be listed ({reason}); change its permissions."
        yield Listed(path.relative_to(folder).as_posix(), 0, 0, said)


def _status(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        # A link that leads nowhere; whoever opens it says so.
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _place_in(folder: Path, output: str | os.PathLike[str] | None) -> str | None:
    """The path of `output` relative to a folder that it is in."""
    if output is None:
        return None
    place, root = Path(output).resolve(), folder.resolve()
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else None


@contextmanager
def _journal(output: str | os.PathLike[str] | None) -> Iterator[Path]:
    """The file that lines are appended to; a temporary one if none is named."""
    if output is None:
        with tempfile.TemporaryDirectory(prefix="himmel-audit-") as scratch:
            path = Path(scratch) / _RESULT
            path.touch()
            yield path
        return
    path = Path(output)
    if path.is_dir():
        raise UsageError(f"{show(path)} is a folder; name a file in it.")
    try:
        path.touch()
    except OSError as error:
        raise HimmelError(
            explain(error, place=path) or f"{show(path)} cannot be written ({error.strerror}); name another file."
        ) from error
    yield path


def _missing(listed: Sequence[Listed], journal: Path, *, retry: bool) -> list[Listed]:
    """Files without a line, or with one from before they changed; with `retry` also those that could not be read."""
    last: dict[str, tuple[int, int, bool]] = {
        one.path: (one.bytes, one.modified, one.error is not None) for one in read_audit(journal)
    }
    if last and not any(file.path in last for file in listed):
        raise UsageError(f"{show(journal)} is the audit of another folder; name a new file.")

    def is_missing(file: Listed) -> bool:
        size, modified, failed = last.get(file.path, (-1, -1, False))
        return (size, modified) != (file.bytes, file.modified) or (failed and (retry or file.error is not None))

    return [file for file in listed if is_missing(file)]


def _read(root: Path, files: Iterable[Listed], workers: int, limits: Limits) -> Iterator[Audited]:
    """Lines of files as they are read, closed folders last."""
    waiting = [file for file in files if file.error is None]
    by_path = {root / file.path: file for file in waiting}
    for outcome in run_apart(read_facts, by_path, workers=min(workers, len(waiting) or 1), limits=limits):
        file = by_path[outcome.item]
        yield _audited(file, outcome, limits)
    for file in files:
        if file.error is not None:
            yield Audited(file.path, 0, 0, 0.0, None, "refused", file.error)


def _audited(file: Listed, outcome: Outcome[Path, VideoFacts], limits: Limits) -> Audited:
    about = file.path, file.bytes, file.modified, round(outcome.seconds, 4)
    if outcome.failure is None:
        return Audited(*about, outcome.value)
    return Audited(*about, None, outcome.failure.cause, sentence_about(outcome.failure, outcome.item, limits))


def sentence_about(failure: Failure, path: Path, limits: Limits) -> str:
    """What a user is told about a file that could not be read."""
    match failure.cause:
        case "refused":
            return failure.said
        case "time":
            return f"{show(path)} was not read within {limits.seconds:g} s; allow more time, or leave it out."
        case "memory":
            most = limits.memory // MEGABYTE
            return f"{show(path)} needs more than {most:,} MB of memory; allow more, or leave it out."
        case "crash":
            return f"{show(path)} ended the process that read it ({failure.said}); leave it out."
        case "unexpected":
            return f"{show(path)} met an unexpected {failure.said}; please report it."
