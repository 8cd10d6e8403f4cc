"""Is this a state that may be released? `python3 scripts/check_release.py [--tag v0.2.0]`, without any package.

The version must be the same wherever it is written, and the change log must have an entry for it.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def find_faults(root: Path, tag: str | None = None) -> Iterator[str]:
    """Sentences about what stands against releasing the checkout `root`; with `tag`, under that name."""
    version = _find(r'^__version__ = "(.+)"$', root / "src" / "himmel" / "__init__.py")
    cited = _find(r"^version: (\S+)$", root / "CITATION.cff")
    if cited != version:
        yield f"CITATION.cff has the version {cited}, and the package {version}; make them equal."
    if tag is None:
        return
    if tag != f"v{version}":
        yield f"The tag {tag} is not that of the version {version}; name it v{version}."
    if not re.search(rf"^## {re.escape(version or '')}\b", (root / "CHANGELOG.md").read_text("utf-8"), flags=re.M):
        yield f"CHANGELOG.md has no heading for {version}; give what is unreleased its version and date."


def _find(pattern: str, file: Path) -> str | None:
    found = re.search(pattern, file.read_text("utf-8"), flags=re.M)
    return found and found[1]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="the tag that is released")
    faults = list(find_faults(ROOT, parser.parse_args().tag))
    print("\n".join(faults or ["The version is the same everywhere."]))  # noqa: T201
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
