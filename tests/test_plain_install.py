"""What a plain install does, without the packages of any extra: read videos, and say what the rest needs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

import numpy as np
import pytest
from packaging.version import Version

from himmel._install import EXTRAS
from progress_lines import without_progress

ROOT = Path(__file__).parents[1]
Encode = Callable[..., Path]
# A plain install has Pillow by matplotlib, and pydantic by typer since its release 0.29.
WITHOUT = sorted({name for names in EXTRAS.values() for name in names} - {"PIL", "pydantic"})


def run_plain(code: str, *arguments: object, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python where no package of an extra can be imported, whether it is installed or not."""
    hidden = f"import sys; sys.modules.update(dict.fromkeys({WITHOUT}, None)); {code}"
    command = [sys.executable, "-c", hidden, *map(str, arguments)]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, env=os.environ | {"COLUMNS": "300"})
    done.stderr = without_progress(done.stderr)
    return done


def himmel(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_plain("from himmel.cli import main; main(sys.argv[1:])", *arguments)


def test_streams_are_read_and_drawn(encode_clip: Encode, tmp_path: Path) -> None:
    output, picture = tmp_path / "a.npz", tmp_path / "a.png"
    done = himmel("streams", encode_clip("a.mp4"), "-o", output, "--picture", picture, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["backend"] == "bitstream"
    with np.load(output, allow_pickle=False) as arrays:
        assert arrays.files
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_audited(encode_clip: Encode, tmp_path: Path) -> None:
    encode_clip("a.mp4")
    done = himmel("audit", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["kinds"][0]["backend"] == "bitstream"


def test_a_stream_is_watched_and_a_question_says_what_it_needs(encode_clip: Encode) -> None:
    clip = encode_clip("a.ts")
    code = "from himmel.cli import main; main(sys.argv[1:])"
    done = run_plain(code, "watch", clip, "--patience", "0.3", typed="What moves?\n")
    assert done.returncode == 0
    assert "the camera pans left" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("himmel: ")
    assert "models" in done.stderr


def test_doctor_says_which_extras_are_missing() -> None:
    done = himmel("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    for extra in EXTRAS:
        assert f'{extra} is not installed; `pip install ".[{extra}]"` in himmel\'s checkout installs it' in done.stdout
    found = json.loads(himmel("doctor", "--json").stdout)
    assert (found["devices"], found["threads"]) == ([], None)
    assert {trial["codec"]: trial["backend"] for trial in found["codecs"]}["h264"] == "bitstream"


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "{clip}", "What moves?"),
        ("params",),
        ("recipe", "show", "default"),
        ("budget", "{clip}"),
        ("nano", "bench"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_takes_a_model_names_the_extra(arguments: tuple[str, ...], encode_clip: Encode) -> None:
    clip = encode_clip("a.mp4")
    done = himmel(*(argument.format(clip=clip) for argument in arguments))
    assert (done.returncode, done.stdout) == (1, "")
    sentence = r"himmel: This needs the package \w+ of the extra 'models', which is not installed; "
    assert re.fullmatch(sentence + re.escape('`pip install ".[models]"` in himmel\'s checkout gets it.\n'), done.stderr)


def test_studio_names_the_extra() -> None:
    done = himmel("studio", "--listen", "127.0.0.1:0", "--no-browser")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"himmel: This needs the package \w+ of the extra 'serve', which is not installed; ", done.stderr)


def test_public_names_that_take_a_model_name_the_extra() -> None:
    code = """
import himmel
from himmel.errors import MissingPackageError

said = []
for name in himmel.__all__:
    try:
        getattr(himmel, name)
    except MissingPackageError as error:
        said.append((name, str(error)))
print(dict(said))
"""
    done = run_plain(f"exec({code!r})")
    assert done.returncode == 0, done.stderr
    said = eval(done.stdout)
    assert {"ask", "HimmelConfig", "HimmelProcessor", "HimmelForConditionalGeneration", "MotionAdapter"} <= set(said)
    assert {"Video", "Decomposition"}.isdisjoint(said)
    assert all('".[models]"' in sentence for sentence in said.values())


def test_every_package_of_an_extra_is_known_by_name() -> None:
    """Packages are imported by other names than they are installed by: those that differ are here once more."""
    imported = {"pillow": "PIL", "pyyaml": "yaml"}
    listed: dict[str, set[str]] = {}
    for requirement in requires("himmel") or []:
        found = re.fullmatch(r"([\w-]+)[^;]*; extra == ['\"](\w+)['\"]", requirement)
        if found and found[2] in EXTRAS and found[1] != "himmel":
            listed.setdefault(found[2], set()).add(imported.get(found[1], found[1].replace("-", "_")))
    assert listed == {extra: set(names) for extra, names in EXTRAS.items()}


def test_the_lowest_versions_that_are_tested_are_those_that_are_allowed() -> None:
    bounds = {}
    for requirement in requires("himmel") or []:
        found = re.match(r"([\w-]+)(?:\[\w+\])?(?:<[\d.]+,)?>=([\d.]+)", requirement)
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        if found and (extra is None or extra[1] in {*EXTRAS, "docs"}):
            bounds[found[1]] = found[2]
    lines = (ROOT / "constraints-lowest.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    # Its lowest brings CUDA's libraries with it, so that another one is tested.
    assert bounds.pop("torch") != pinned.pop("torch")
    assert {name: Version(text) for name, text in pinned.items()} == {
        name: Version(text) for name, text in bounds.items()
    }
