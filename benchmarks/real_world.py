"""Real footage and photographs, with questions that were written down before any model was asked about them.

26 stretches of video (people, animals, traffic, a flight, hands, a wave) with 60 questions, half about motion and half
about what is seen, and 40 photographs of one subject each. None of the footage is in this repository: each file comes
out of a package of PyPI, npm or Debian 12, by pinned version and hash. `real_world/*.jsonl` says which, under which
licence, what is asked, what is true and by which frames. Nothing may be trained or tuned on any of it.

    python -m benchmarks.real_world real      # fetches 570 MB of packages one after the other, keeps 70 MB
    himmel eval real/clips/questions.jsonl -o runs/real-clips
    himmel eval real/photographs/questions.jsonl -o runs/real-photographs

Stretches are named by start and end in the questions, so the files stay as they were encoded. What is there already is
checked and not fetched again. Debian's packages need `apt-get` and its lists for Debian 12 (bookworm).
"""

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Literal, cast

from himmel._files import atomic_path, cache_root
from himmel.errors import HimmelError
from himmel.nano.wheels import Wheel, fetched

Kind = Literal["pypi wheel", "npm", "debian"]

DATA: Final = Path(__file__).parent / "real_world"
OFFERED: Final = 15
"""Names to choose from for each photograph."""
ASKED_OF_A_PHOTOGRAPH: Final = "What does this photograph show?"

_TIMEOUT = 1800.0


@dataclass(frozen=True, order=True)
class Package:
    """One version of a package.

    Attributes:
        kind: where it comes from.
        name: as its registry has it.
        version: exactly.
        sha256: of the package file, in hex.
    """

    kind: Kind
    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Source:
    """A file inside a package.

    Attributes:
        package: that holds it.
        path: inside the package; if it ends in `.gz`, the file is what it unpacks to.
        sha256: of the file, unpacked, in hex.
        licence: as the package states it.
    """

    package: Package
    path: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Clip:
    """A stretch of a video.

    Attributes:
        name: unique.
        source: the whole video.
        start: seconds at which the stretch begins; None for the whole video.
        end: seconds at which it ends; None for the whole video.
        shows: what is to be seen, for people.
    """

    name: str
    source: Source
    start: float | None
    end: float | None
    shows: str

    @property
    def file(self) -> str:
        """Name of the video file, shared by the stretches of one video."""
        path = PurePosixPath(self.source.path.removesuffix(".gz"))
        return f"{self.source.package.name}-{path.name}"


@dataclass(frozen=True)
class Question:
    """A question about a clip.

    Attributes:
        id: unique.
        clip: name of the clip.
        group: whether it takes motion to answer, or one look.
        kind: what is asked for, such as "direction" or "colour".
        question: in everyday words.
        choices: four.
        answer: the right one.
        why: the frames that show it, for people.
    """

    id: str
    clip: str
    group: Literal["motion", "seen"]
    kind: str
    question: str
    choices: tuple[str, ...]
    answer: str
    why: str


@dataclass(frozen=True)
class Photograph:
    """A photograph of one subject.

    Attributes:
        id: unique.
        source: the picture file.
        name: what it shows, in everyday words.
        also: names of other photographs that this one may also be said to show; they are not offered for it.
    """

    id: str
    source: Source
    name: str
    also: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of the picture file."""
        return f"{self.id}{PurePosixPath(self.source.path).suffix}"


def read_clips() -> list[Clip]:
    """All clips, in the file's order."""
    return [Clip(row["clip"], _source(row), row["start"], row["end"], row["shows"]) for row in _rows("clips")]


def read_questions() -> list[Question]:
    """All questions, in the file's order."""
    return [Question(**{**row, "choices": tuple(row["choices"])}) for row in _rows("questions")]


def read_photographs() -> list[Photograph]:
    """All photographs, in the file's order."""
    return [Photograph(row["id"], _source(row), row["name"], tuple(row["also"])) for row in _rows("photographs")]


def names_offered(photograph: Photograph, names: Sequence[str]) -> list[str]:
    """The right name and 14 others, drawn by a rule that depends on nothing but the names, in alphabetical order.

    Args:
        photograph: that is asked about.
        names: of all photographs; doubles don't matter.
    """
    others = set(names) - {photograph.name, *photograph.also}
    drawn = sorted(others, key=lambda name: hashlib.sha256(f"{photograph.id}:{name}".encode()).digest())
    return sorted([photograph.name, *drawn[: OFFERED - 1]])


def clip_rows(clips: Sequence[Clip], questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Rows of a file of questions about the clips, as `himmel eval` reads it."""
    by_name = {clip.name: clip for clip in clips}
    rows = []
    for question in questions:
        clip = by_name[question.clip]
        row = {
            "id": question.id,
            "video": clip.file,
            "question": question.question,
            "choices": list(question.choices),
            "answer": question.answer,
            "category": question.kind,
            "task": question.group,
        }
        stretch = {"start": clip.start, "end": clip.end}
        rows.append({**row, **{name: value for name, value in stretch.items() if value is not None}})
    return rows


def photograph_rows(photographs: Sequence[Photograph]) -> list[dict[str, Any]]:
    """Rows of a file of questions about the photographs, as `himmel eval` reads it."""
    names = [photograph.name for photograph in photographs]
    return [
        {
            "id": photograph.id,
            "image": photograph.file,
            "question": ASKED_OF_A_PHOTOGRAPH,
            "choices": names_offered(photograph, names),
            "answer": photograph.name,
            "category": "name",
        }
        for photograph in photographs
    ]


def fetch(folder: Path) -> None:
    """Put the videos, the photographs and a file of questions for each into `folder`.

    Args:
        folder: made if it isn't there. Files in it that are whole stay.

    Raises:
        HimmelError: some packages cannot be fetched or aren't the pinned ones, or the folder cannot be written; what
            can be had is in the folder then, and a second call fetches the rest.
    """
    clips, photographs = read_clips(), read_photographs()
    wanted = {folder / "clips" / clip.file: clip.source for clip in clips}
    wanted |= {folder / "photographs" / photograph.file: photograph.source for photograph in photographs}
    for name, rows in (("clips", clip_rows(clips, read_questions())), ("photographs", photograph_rows(photographs))):
        _make(folder / name)
        with atomic_path(folder / name / "questions.jsonl") as path:
            path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    missing = {path: source for path, source in wanted.items() if not _is_whole(path, source)}
    failures = []
    for package in sorted({source.package for source in missing.values()}):
        print(f"{package.name} {package.version} ({package.kind}) ...", file=sys.stderr)
        try:
            with opened(package) as read:
                for path, source in missing.items():
                    if source.package == package:
                        _write(path, source, read(source.path))
        except HimmelError as error:
            failures.append(str(error))
    if failures:
        raise HimmelError("\n".join([*failures, "Run this again for the rest, or ask with --allow-missing."]))


@contextmanager
def opened(package: Package) -> Iterator[Callable[[str], bytes]]:
    """What reads a file of a package by its path; the package is fetched before and removed after."""
    if package.kind == "pypi wheel":
        with fetched(Wheel(package.name, package.version, package.sha256)) as wheel:
            yield lambda path: _member(package, path, wheel.read)
        return
    with tempfile.TemporaryDirectory(prefix="himmel-real-") as scratch:
        prefix = ""
        if package.kind == "npm":
            wanted = f"{package.name}@{package.version}"
            command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", scratch, wanted]
            archive = _download(package, command, Path(scratch), "*.tgz")
        else:
            deb = _download(
                package, ["apt-get", "download", f"{package.name}={package.version}"], Path(scratch), "*.deb"
            )
            archive, prefix = Path(scratch) / "files.tar", "./"
            with open(archive, "wb") as sink:
                _run(package, ["dpkg-deb", "--fsys-tarfile", str(deb)], Path(scratch), sink)
        with tarfile.open(archive) as tar:

            def read(path: str) -> bytes:
                file = tar.extractfile(prefix + path)
                if file is None:
                    raise KeyError(path)
                return file.read()

            yield lambda path: _member(package, path, read)


def _download(package: Package, command: Sequence[str], scratch: Path, pattern: str) -> Path:
    """The file that a package manager puts into `scratch`, its hash checked."""
    _run(package, command, scratch, subprocess.DEVNULL)
    files = list(scratch.glob(pattern))
    if len(files) != 1:
        raise HimmelError(f"{command[0]} fetched no file for {package.name} {package.version}; try again.")
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if digest != package.sha256:
        raise HimmelError(
            f"{files[0].name!r} has SHA-256 {digest} where {package.sha256} is pinned; it was not used: check which "
            f"registry {command[0]} is configured to use."
        )
    return files[0]


def _run(package: Package, command: Sequence[str], scratch: Path, sink: int | IO[bytes]) -> None:
    cannot = f"Cannot fetch {package.name} {package.version}"
    try:
        done = subprocess.run(
            command, cwd=scratch, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.PIPE, timeout=_TIMEOUT
        )
    except FileNotFoundError as error:
        raise HimmelError(f"{cannot}: there is no {command[0]} here; run this where there is.") from error
    except subprocess.TimeoutExpired as error:
        raise HimmelError(f"{cannot}: it took more than {_TIMEOUT / 60:.0f} minutes; use a faster network.") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        release = " of Debian 12 (bookworm)" if package.kind == "debian" else ""
        raise HimmelError(
            f"{cannot} with {command[0]} ({lines[-1] if lines else 'no message'}); "
            f"connect to the network, with the package lists{release}, and try again."
        )


def _member(package: Package, path: str, read: Callable[[str], bytes]) -> bytes:
    try:
        content = read(path)
    except KeyError as error:
        raise HimmelError(f"{package.name} {package.version} holds no {path!r}; mend {str(DATA)!r}.") from error
    return gzip.decompress(content) if path.endswith(".gz") else content


def _write(path: Path, source: Source, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise HimmelError(
            f"{source.path!r} of {source.package.name} has SHA-256 {digest} where {source.sha256} is pinned; "
            f"mend {str(DATA)!r}."
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _is_whole(path: Path, source: Source) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == source.sha256


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HimmelError(f"Cannot make {str(folder)!r} ({error.strerror}); name another folder.") from error


def _rows(name: str) -> list[dict[str, Any]]:
    text = (DATA / f"{name}.jsonl").read_text(encoding="utf-8")
    return [cast(dict[str, Any], json.loads(line)) for line in text.splitlines()]


def _source(row: dict[str, Any]) -> Source:
    package = Package(row["kind"], row["package"], row["version"], row["package_sha256"])
    return Source(package, row["path"], row["sha256"], row["licence"])


def main() -> None:
    """Fetch all, and say where the questions are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="for the files; default: real-world in himmel's cache")
    folder = parser.parse_args().folder or cache_root() / "real-world"
    try:
        fetch(folder)
    except HimmelError as error:
        raise SystemExit(str(error)) from error
    for name in ("clips", "photographs"):
        print(folder / name / "questions.jsonl")


if __name__ == "__main__":
    main()
