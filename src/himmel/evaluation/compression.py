"""A data set at several qualities: its videos encoded again at given quantisers, all else as it is (report, O.1).

A ladder is a folder. Of each rung, such as `qp-28`, it holds

    qp-28/        the data set: the same files at the same places under the same names, its videos encoded again
    qp-28.json    what the rung is, see `Rung`; written when all clips have been tried
    qp-28.jsonl   a line a clip: path, error, and what `recoding.Recoded` has

so that a benchmark is run on `qp-28` as on the data set itself. Keyframes are where the source has them on every rung:
the same pictures are anchors, and nothing but the quantiser changes.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from himmel._files import atomic_path
from himmel._progress import track
from himmel._trouble import explain
from himmel._versions import versions
from himmel.data.failures import sentence_about
from himmel.data.journal import mend
from himmel.data.sources.folder import VIDEO_SUFFIXES, check_folder, is_video, list_files
from himmel.data.sources.video import SourceVideo
from himmel.data.workers import MEGABYTE, Limits, Outcome, run_apart
from himmel.errors import HimmelError, UsageError
from himmel.evaluation.recoding import Coding, Recoded, Signals, recode
from himmel.video.file.source import show

QUANTISERS: Final = (18, 23, 28, 33, 38, 43)
LIMITS: Final = Limits(seconds=6 * 3600.0, memory=4096 * MEGABYTE)
"""For one clip on one rung."""


@dataclass(frozen=True)
class Change:
    """A figure of a rung beside that of the source; None where it isn't known.

    Attributes:
        ratio: the rung's by the source's.
    """

    rung: float | None
    source: float | None
    ratio: float | None


@dataclass(frozen=True)
class Failed:
    """A clip that is missing on a rung: its path below the data set, and why, in a sentence."""

    path: str
    error: str


@dataclass(frozen=True)
class Rung:
    """What a rung's JSON says.

    Attributes:
        name: such as "qp-28"; also the folder beside the JSON with the rung's data set.
        data: the data set that it was made from.
        mode, level: "qp" or "crf", and how much of it.
        preset, options: x264's preset, and all that FFmpeg's encoder was told.
        clips: how many could be encoded; `failed` lists the others.
        seconds, pictures, keyframes: of these clips together; keyframes are the source's.
        psnr, ssim: means over the clips, see `Recoded`; None if there are none.
        motion_change: mean distance of the motion from the source's, pixels per picture; None if no vectors are left.
        signals: by the names of `recoding.Signals`: bits_per_second over all seconds, the others as means over all
            pictures.
        versions: of what encoded and measured.
    """

    name: str
    data: str
    mode: str
    level: int
    preset: str
    options: dict[str, str]
    clips: int
    failed: tuple[Failed, ...]
    seconds: float
    pictures: int
    keyframes: int
    psnr: float | None
    ssim: float | None
    motion_change: float | None
    signals: dict[str, Change]
    versions: dict[str, str]


@dataclass(frozen=True)
class _Task:
    """A clip to be encoded on a rung."""

    rung: str
    file: SourceVideo
    source: Path
    target: Path
    coding: Coding


def rung_name(coding: Coding) -> str:
    """How a rung is called: "qp-28", "crf-23"."""
    return f"{coding.mode}-{coding.level}"


def build_ladder(
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    codings: Sequence[Coding],
    workers: int = 1,
    limits: Limits = LIMITS,
) -> tuple[Rung, ...]:
    """Encode all videos of a data set on each rung, in processes of their own; what is done already is kept.

    Files other than videos are linked, or copied where the disk has no links. A video that cannot be read is listed in
    its rung and missing there.

    Args:
        data: folder of videos, with or without a benchmark's files beside them.
        output: folder of the ladder; is made if it is not there.
        codings: a rung each, named differently.
        workers: processes, each with one thread.
        limits: what a clip may take on a rung.

    Raises:
        HimmelError: there is no such folder, or it holds no videos, or the ladder cannot be written.
        UsageError: the ladder would be inside the data set, or two rungs have the same name.
    """
    root, ladder = Path(data), Path(output)
    check_folder(root)
    names = [rung_name(coding) for coding in codings]
    if len(set(names)) < len(names):
        raise UsageError(f"The rungs {', '.join(names)} are not all different; give each once.")
    if ladder.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{show(ladder)} is inside the data set {show(root)}; name a folder elsewhere.")
    videos: list[SourceVideo] = []
    others: list[SourceVideo] = []
    for file in list_files(root, every_file=True):
        if file.error is not None:
            raise HimmelError(file.error)
        (videos if is_video(file.name) else others).append(file)
    if not videos:
        raise HimmelError(f"{show(root)} holds no files that end in {', '.join(VIDEO_SUFFIXES)}; name another folder.")
    done = {}
    tasks = []
    for name, coding in zip(names, codings, strict=True):
        _place(root, ladder / name, others, videos)
        journal = _journal(ladder, name)
        done[name] = _read_lines(journal)
        tasks += [
            _Task(name, file, root / file.name, ladder / name / file.name, coding)
            for file in videos
            if not _is_done(done[name].get(file.name), file, coding, ladder / name / file.name)
        ]
    for task, line in track(_run(tasks, workers, limits), what="Encoding", total=len(tasks)):
        with _journal(ladder, task.rung).open("a", encoding="ascii") as lines:
            lines.write(json.dumps(line) + "\n")
        done[task.rung][task.file.name] = line
    rungs = []
    for name, coding in zip(names, codings, strict=True):
        rung = _describe(name, root, coding, [done[name][file.name] for file in videos])
        with atomic_path(ladder / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(asdict(rung), indent=1) + "\n", encoding="utf-8")
        rungs.append(rung)
    return tuple(rungs)


def _journal(ladder: Path, name: str) -> Path:
    return ladder / f"{name}.jsonl"


def _place(root: Path, rung: Path, others: Iterable[SourceVideo], videos: Iterable[SourceVideo]) -> None:
    """Make the folders of a rung, and its files that are no videos."""
    try:
        for file in videos:
            (rung / file.name).parent.mkdir(parents=True, exist_ok=True)
        for file in others:
            source, target = root / file.name, rung / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and (target.stat().st_size, target.stat().st_mtime_ns) == (file.bytes, file.modified):
                continue
            target.unlink(missing_ok=True)
            _link(source, target)
    except OSError as error:
        raise HimmelError(
            explain(error, place=rung) or f"{show(rung)} cannot be written ({error.strerror}); name another folder."
        ) from error


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another disk, or one without links.
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
        shutil.copystat(source, target)


def _read_lines(journal: Path) -> dict[str, dict[str, Any]]:
    """The last line of each clip by its path; what a killed run left half-written is cut off."""
    try:
        journal.touch()
        mend(journal)
        lines = [json.loads(line) for line in journal.read_text(encoding="ascii").splitlines()]
        return {line["path"]: line for line in lines}
    except OSError as error:
        raise HimmelError(
            explain(error, place=journal)
            or f"{show(journal)} cannot be written ({error.strerror}); name another folder."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{show(journal)} is not a list of a rung's clips; name another folder.") from error


def _is_done(line: dict[str, Any] | None, file: SourceVideo, coding: Coding, target: Path) -> bool:
    """Whether a clip is there as it would be made now; one that failed is tried again."""
    if line is None or line["error"] is not None or not target.is_file():
        return False
    return (line["bytes"], line["modified"], line["options"]) == (file.bytes, file.modified, coding.options())


def _run(tasks: Sequence[_Task], workers: int, limits: Limits) -> Iterator[tuple[_Task, dict[str, Any]]]:
    for outcome in run_apart(_recode, tasks, workers=min(workers, len(tasks) or 1), limits=limits):
        yield outcome.item, _line(outcome, limits)


def _recode(task: _Task) -> Recoded:
    return recode(task.source, task.target, task.coding)


def _line(outcome: Outcome[_Task, Recoded], limits: Limits) -> dict[str, Any]:
    task = outcome.item
    about = {
        "path": task.file.name,
        "bytes": task.file.bytes,
        "modified": task.file.modified,
        "options": task.coding.options(),
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.value is None:
        # A clip of an earlier try must not count as one of this rung.
        task.target.unlink(missing_ok=True)
        assert outcome.failure is not None
        return {**about, "error": sentence_about(outcome.failure, task.source, limits)}
    return {**about, "error": None, **asdict(outcome.value)}


def _describe(name: str, root: Path, coding: Coding, lines: Sequence[dict[str, Any]]) -> Rung:
    whole = [line for line in lines if line["error"] is None]
    lengths = [line["duration"] for line in whole]
    pictures = [line["pictures"] for line in whole]
    signals = {}
    for figure in (field.name for field in fields(Signals)):
        weights = lengths if figure == "bits_per_second" else pictures
        one, other = (_mean([line[side][figure] for line in whole], weights) for side in ("clip", "source"))
        signals[figure] = Change(one, other, one / other if one is not None and other else None)
    return Rung(
        name=name,
        data=str(root),
        mode=coding.mode,
        level=coding.level,
        preset=coding.preset,
        options=coding.options(),
        clips=len(whole),
        failed=tuple(Failed(line["path"], line["error"]) for line in lines if line["error"] is not None),
        seconds=sum(lengths),
        pictures=sum(pictures),
        keyframes=sum(line["keyframes"] for line in whole),
        psnr=_mean([line["psnr"] for line in whole], [1] * len(whole)),
        ssim=_mean([line["ssim"] for line in whole], [1] * len(whole)),
        motion_change=_mean([line["motion_change"] for line in whole], pictures),
        signals=signals,
        versions=versions(),
    )


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    """The weighted mean of those that are known."""
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
