"""A hook of MkDocs: pages are made of the change log, the scripts in `examples/` and the help of all commands.

Pages link to files by their place in the repository, as GitHub reads them. What the site has no page for is
linked in the repository where its address is known (`repo_url`), and is plain text where it is not.
"""

import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ADDED = {
    "CHANGELOG.md": "changes.md",
    **{f"examples/{script.name}": f"examples/{script.stem}.md" for script in sorted((ROOT / "examples").glob("*.py"))},
}
"""Files outside `docs/` that are pages of the site, and as which."""

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of files outside `docs/`."""
    for source, page in ADDED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = script_page(source, text) if source.endswith(".py") else text
        files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, "commands.md", content=commands_page()))
    return files


def commands_page() -> str:
    """The help of `himmel` and all its verbs as Markdown, by typer's own command for that."""
    command = [
        "-m",
        "typer",
        "--app",
        "app",
        "himmel.cli.app",
        "utils",
        "docs",
        "--name",
        "himmel",
        "--title",
        "Commands",
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginError(f"The help of the commands cannot be read; is himmel installed here?\n{done.stderr}")
    return done.stdout


def script_page(source: str, script: str) -> str:
    """A script of `# %%` cells as Markdown: cells marked `[markdown]` are text, all others code."""
    parts = []
    for cell in re.split(r"^# %%", script, flags=re.M)[1:]:
        mark, _, content = cell.partition("\n")
        if mark.strip() == "[markdown]":
            parts.append(re.sub(r"^# ?", "", content.strip("\n"), flags=re.M).strip())
        else:
            parts.append(f"```python\n{content.strip(chr(10))}\n```")
    return "\n\n".join([parts[0], f"*The script `{source}`*", *parts[1:]]) + "\n"


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
