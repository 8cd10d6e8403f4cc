"""The package's top: its public names, and what importing it costs."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import himmel
from himmel.training.resolve import recipe_names, recipes_folder, resolve_recipe


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_version_is_the_installed_one() -> None:
    assert himmel.__version__ == version("himmel")


def test_public_names_are_all_there_and_listed() -> None:
    for name in himmel.__all__:
        assert getattr(himmel, name).__name__ == name
    assert set(himmel.__all__) <= set(dir(himmel))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Vdieo'"):
        himmel.Vdieo  # noqa: B018


def test_reading_a_video_does_not_load_torch() -> None:
    heavy = ("torch", "transformers", "matplotlib")
    assert run_python(f"import himmel, sys; himmel.Video; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_every_file_that_the_paper_index_names_is_there() -> None:
    root = Path(__file__).parents[1]
    named = re.findall(r"`((?:src|tests|recipes|docs)/[\w./]*)`", (root / "docs/paper_index.md").read_text("utf-8"))
    assert len(named) > 20
    assert [name for name in named if not (root / name).exists()] == []


def test_recipes_go_with_the_package_and_are_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[1]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"recipes": "himmel/recipes"}
    shutil.copytree(root / "recipes", tmp_path / "himmel" / "recipes")
    in_the_repository = recipe_names()
    monkeypatch.setattr(himmel, "__file__", str(tmp_path / "himmel" / "__init__.py"))
    assert recipes_folder() == tmp_path / "himmel" / "recipes"
    assert recipe_names() == in_the_repository
    assert resolve_recipe("default", base="nano").origin("host") == "recipes/base/nano.yaml"


def test_importing_the_package_loads_nothing_else() -> None:
    assert run_python("import sys, himmel; print([m for m in ('numpy', 'av', 'cv2') if m in sys.modules])") == "[]"


def test_the_command_line_starts_without_torch() -> None:
    assert run_python("import sys, himmel.cli; print([m for m in ('torch', 'av', 'cv2') if m in sys.modules])") == "[]"
