"""The pages name only files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("native/*.md"))
)
FOLDERS = "src|tests|recipes|docs|native|benchmarks|scripts"


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def test_pages_are_found() -> None:
    assert {"README.md", "docs/index.md", "docs/api/video.md", "docs/paper_index.md", "native/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_paths_that_a_page_names_exist(page: str) -> None:
    # native/README.md also names paths inside native/.
    bases = (ROOT, (ROOT / page).parent)
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text(page))
    missing = [name for name in named if not any((base / name).exists() for base in bases)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target, fragment in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text(page)):
        file = (ROOT / page).parent / target if target else ROOT / page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), flags=re.M)
            assert fragment in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_first_page_leads_to_every_other() -> None:
    linked = set(re.findall(r"\]\(([\w/]+\.md)", text("docs/index.md")))
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"} <= linked


def test_every_result_file_is_listed_with_its_command() -> None:
    folder = ROOT / "docs" / "results"
    rows = [row for row in text("docs/results/README.md").splitlines() if row.startswith("| [")]
    listed = {name for row in rows for name in re.findall(r"\]\(((?:[\w-]+/)?[\w.-]+)\)", row)}
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*.*") if file.suffix != ".md"}
    assert listed == files
    assert all("`" in row for row in rows if "gpu/" not in row)


def test_the_paper_index_names_files_by_their_folder_or_after_one_of_the_same_folder() -> None:
    named = 0
    for row in text("docs/paper_index.md").splitlines():
        folder = ROOT
        for name in re.findall(r"`([\w./-]+(?:\.py|\.yaml|\.md|/))`", row):
            path = ROOT / name if "/" in name or name == "README.md" else folder / name
            assert path.exists(), name
            folder, named = path if path.is_dir() else path.parent, named + 1
    assert named > 50
