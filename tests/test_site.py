"""The documentation as a site: it is built strictly, and no link leads nowhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
    pytest.importorskip(package, reason="needs the extra docs: pip install '.[docs]'")

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder, HIMMEL_REPOSITORY_URL="https://example.org/someone/himmel")
    assert done.returncode == 0, done.stderr
    return folder


class Page(HTMLParser):
    """Links, ids and text outside code of one page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.prose = ""
        self._code = 0
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._code += tag in ("pre", "code", "script", "style", "svg")
        self.ids |= {value for name in ("id", "name") if (value := given.get(name))}
        self.links += [value for name in ("href", "src") if (value := given.get(name))]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("pre", "code", "script", "style", "svg")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.prose += data


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html")}


def test_every_link_inside_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    lost = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or file.name == "404.html":
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (parts.fragment and target in pages and parts.fragment not in pages[target].ids):
                lost.append(f"{file.relative_to(site)}: {link}")
    assert lost == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_no_page_loads_anything_from_another_server(site: Path) -> None:
    for file in site.rglob("*.html"):
        html = file.read_text("utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*\ssrc=\"(https?:[^\"]*)", html)
        loaded += re.findall(r"<link[^>]*stylesheet[^>]*href=\"(https?:[^\"]*)", html)
        assert loaded == [], file


def test_links_to_files_without_a_page_lead_to_the_repository(site: Path) -> None:
    assert "https://example.org/someone/himmel/blob/HEAD/README.md" in Page(site / "results" / "index.html").links


def test_no_markdown_is_left_in_the_text(pages: dict[Path, Page]) -> None:
    left = [
        (file.name, line)
        for file, page in pages.items()
        for line in page.prose.splitlines()
        if re.match(r"\s*(- |\* |\| |#+ |```)|.*\]\(", line)
    ]
    assert left == []


def test_lines_about_several_arguments_are_told_apart(site: Path) -> None:
    video = (site / "api" / "video" / "index.html").read_text("utf-8")
    between = video[video.index('id="himmel.video.Video.between"') :].split("<h3")[0]
    assert re.findall(r"<b><code>(\w+)</code></b>", between)[:2] == ["start", "end"]


def test_every_command_is_on_the_page_of_commands(site: Path) -> None:
    import typer.main

    from himmel.cli.app import app

    titles = re.findall(
        r"<h[23] id=[^>]*><code>(himmel [^<]*)</code>", (site / "commands" / "index.html").read_text("utf-8")
    )
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert [f"himmel {verb}" for verb in verbs if f"himmel {verb}" not in titles] == []
    assert "himmel nano sample" in titles


def test_all_public_names_have_a_place_on_the_site(pages: dict[Path, Page]) -> None:
    import himmel
    import himmel.adapter
    import himmel.model
    import himmel.publish
    import himmel.video

    ids = set().union(*(page.ids for page in pages.values()))
    packages = (himmel.adapter, himmel.model, himmel.publish, himmel.video)
    missing = [
        f"{package.__name__}.{name}"
        for package in packages
        for name in package.__all__
        if f"{package.__name__}.{name}" not in ids
    ]
    missing += [name for name, home in himmel._HOMES.items() if f"{home}.{name}" not in ids]
    assert missing == []


def test_the_site_is_built_where_no_address_is_known(tmp_path: Path) -> None:
    done = build(tmp_path / "site", HIMMEL_REPOSITORY_URL="", HIMMEL_SITE_URL="")
    assert done.returncode == 0, done.stderr
    assert "README" in Page(tmp_path / "site" / "results" / "index.html").prose
