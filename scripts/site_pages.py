"""A hook of MkDocs: pages of the repository's top join the site, and links to its other files lead to the repository.

Pages link to files by their place in the repository, as GitHub reads them. What the site has no page for is
linked in the repository where its address is known (`repo_url`), and is plain text where it is not.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ADDED = {"CHANGELOG.md": "changes.md"}
"""Files of the repository's top that are pages of the site, and as which."""

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's top."""
    for source, page in ADDED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that go out of `docs/` somewhere."""
    del files
    source = {page: source for source, page in ADDED.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder = posixpath.dirname(source)

    def lead(link: re.Match[str]) -> str:
        text, target, fragment = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in ADDED:
            here = posixpath.dirname(page.file.src_uri) or "."
            return f"[{text}]({posixpath.relpath(ADDED[path], here)}{fragment})"
        if path.startswith("docs/"):
            here = posixpath.dirname(page.file.src_uri) or "."
            return f"[{text}]({posixpath.relpath(path.removeprefix('docs/'), here)}{fragment})"
        if not (ROOT / path).exists():
            return link[0]  # MkDocs reports it
        if not config.repo_url:
            return text
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"[{text}]({config.repo_url.rstrip('/')}/{kind}/HEAD/{path}{fragment})"

    return _LINK.sub(lead, markdown)
