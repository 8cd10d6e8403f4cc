"""The package's top: its public names, and what importing it costs."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import himmel
from himmel.training.resolve import recipe_names, recipes_folder, resolve_recipe

ROOT = Path(__file__).parents[1]


def run_python(code: str, **environment: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that `pip install` writes where no compiler is found: what is built when CMake fails."""
    folder = tmp_path_factory.mktemp("installed")
    build = "import sys; from scikit_build_core.build import build_wheel; print(build_wheel(sys.argv[1]))"
    # CMake takes the compiler that CXX names, and no other where that one is missing.
    environment = os.environ | {"CXX": str(folder / "no-compiler")}
    command = [sys.executable, "-c", build, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    wheel = folder / done.stdout.splitlines()[-1]
    assert wheel.name == f"himmel-{himmel.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    return folder / "site-packages"


def test_recipes_go_with_the_package_and_are_found_there(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_repository = recipe_names()
    monkeypatch.setattr(himmel, "__file__", str(installed / "himmel" / "__init__.py"))
    assert recipes_folder() == installed / "himmel" / "recipes"
    assert recipe_names() == in_the_repository
    assert resolve_recipe("default", base="nano").origin("host") == "recipes/base/nano.yaml"


def test_without_a_compiler_himmel_is_installed_without_the_engine_and_knows_it(installed: Path) -> None:
    asked = "from himmel._versions import engine_version; import himmel; print(engine_version(), himmel.__file__)"
    # Without site-packages' import hooks: this environment's own engine must not be found.
    code = f"import sys; sys.meta_path[:] = [one for one in sys.meta_path if isinstance(one, type)]; {asked}"
    found = run_python(code, PYTHONPATH=str(installed))
    assert found == f"None {installed / 'himmel' / '__init__.py'}"


def test_importing_the_package_loads_nothing_else() -> None:
    assert run_python("import sys, himmel; print([m for m in ('numpy', 'av', 'cv2') if m in sys.modules])") == "[]"


def test_the_command_line_starts_without_torch() -> None:
    assert run_python("import sys, himmel.cli; print([m for m in ('torch', 'av', 'cv2') if m in sys.modules])") == "[]"
