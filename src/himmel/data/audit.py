"""Every video file of a folder, opened once: what it is, which backend would read it, or why it cannot be read."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from himmel._files import told_by_name
from himmel._progress import track
from himmel._trouble import explain
from himmel.data.audit_summary import AuditSummary, summarise
from himmel.data.facts import VideoFacts, read_facts
from himmel.data.failures import sentence_about
from himmel.data.journal import BEGINNING, Audited, mend, read_audit
from himmel.data.sources.folder import check_folder, list_files, nothing_found
from himmel.data.sources.video import SourceVideo
from himmel.data.workers import Limits, Outcome, run_apart
from himmel.errors import HimmelError, UsageError
from himmel.video.file.source import show

_RESULT: Final = "audit.jsonl"


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
    listed = [file for file in list_files(root, every_file=every_file) if file.name != own]
    if not listed:
        raise nothing_found(str(root), every_file=every_file)
    with _journal(output) as journal:
        missing = _missing(listed, journal, retry=retry)
        # Only now: what is no audit was refused as it was.
        mend(journal, beginning=BEGINNING)
        with told_by_name(journal), journal.open("a", encoding="ascii") as lines:
            for one in track(_read(root, missing, workers, bounds), what="Reading files", total=len(missing)):
                lines.write(one.to_line())
                lines.flush()
        current = {file.name: (file.bytes, file.modified) for file in listed}
        return summarise(root, lambda: read_audit(journal), current, read=len(missing))


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


def _missing(listed: Sequence[SourceVideo], journal: Path, *, retry: bool) -> list[SourceVideo]:
    """Files without a line, or with one from before they changed; with `retry` also those that could not be read."""
    last: dict[str, tuple[int, int, bool]] = {
        one.path: (one.bytes, one.modified, one.error is not None) for one in read_audit(journal)
    }
    if last and not any(file.name in last for file in listed):
        raise UsageError(f"{show(journal)} is the audit of another folder; name a new file.")

    def is_missing(file: SourceVideo) -> bool:
        size, modified, failed = last.get(file.name, (-1, -1, False))
        return (size, modified) != (file.bytes, file.modified) or (failed and (retry or file.error is not None))

    return [file for file in listed if is_missing(file)]


def _read(root: Path, files: Iterable[SourceVideo], workers: int, limits: Limits) -> Iterator[Audited]:
    """Lines of files as they are read, closed folders last."""
    waiting = [file for file in files if file.error is None]
    by_path = {root / file.name: file for file in waiting}
    for outcome in run_apart(read_facts, by_path, workers=min(workers, len(waiting) or 1), limits=limits):
        file = by_path[outcome.item]
        yield _audited(file, outcome, limits)
    for file in files:
        if file.error is not None:
            yield Audited(file.name, 0, 0, 0.0, None, "refused", file.error)


def _audited(file: SourceVideo, outcome: Outcome[Path, VideoFacts], limits: Limits) -> Audited:
    about = file.name, file.bytes, file.modified, round(outcome.seconds, 4)
    if outcome.failure is None:
        return Audited(*about, outcome.value)
    return Audited(*about, None, outcome.failure.cause, sentence_about(outcome.failure, outcome.item, limits))
