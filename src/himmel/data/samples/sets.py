"""Sets of samples: files with a rule for which of their rows are taken (LLaVA-Video-178K's sampling strategies)."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from himmel.data.samples.files import find_files, read_rows
from himmel.data.samples.rows import Choices, RowError, parse_row
from himmel.data.samples.sample import Sample
from himmel.errors import HimmelError

_STRATEGY: Final = re.compile(r"(all|(first|end|random):(\d{1,12})(%?))")
_BRACES: Final = re.compile(r"^(.*)\{([^{}]*)\}(.*)$")
_NO_YAML: Final = "name a YAML file with `datasets:`, a list of json_path and sampling_strategy."


@dataclass(frozen=True)
class SetSpec:
    """What a recipe says about one set.

    Attributes:
        annotations: a file, a pattern, a folder, or LLaVA's YAML of files.
        media: where relative paths of media begin; None: at each annotation file.
        sampling: "all", "first:N", "end:N" or "random:N", where N may be a percentage such as "10%"; of each file.
        choices: how options are asked, see `parse_row`.
    """

    annotations: Path
    media: Path | None = None
    sampling: str = "all"
    choices: Choices = "words"


@dataclass(frozen=True)
class Unusable:
    """A row that was passed over: which, and a clause that says why."""

    file: str
    row: int
    why: str


def read_set(spec: SetSpec, *, seed: int) -> Iterator[Sample | Unusable]:
    """The samples of a set in the order of its files, and the rows that are none.

    Args:
        spec: which.
        seed: of what "random" takes.

    Raises:
        HimmelError: files are missing or damaged, or a sampling strategy is none.
    """
    for number, (file, sampling) in enumerate(annotation_files(spec)):
        check_sampling(sampling)
        rows = list(read_rows(file)) if sampling != "all" else read_rows(file)
        chosen = rows if not isinstance(rows, list) else [rows[i] for i in _chosen(sampling, len(rows), [seed, number])]
        folder = file.parent if spec.media is None else spec.media
        for place, row in chosen:
            try:
                yield parse_row(row, folder=folder, name=f"{file.name}#{place}", choices=spec.choices)
            except RowError as error:
                yield Unusable(str(file), place, str(error))


def check_sampling(strategy: str) -> None:
    """See that a sampling strategy is one.

    Raises:
        HimmelError: it is not.
    """
    if not _STRATEGY.fullmatch(strategy):
        raise HimmelError(
            f"The sampling strategy {strategy!r} does not exist; choose all, first:N, end:N or random:N, where N is a "
            "number of rows or a percentage."
        )


def _chosen(strategy: str, count: int, seed: list[int]) -> list[int]:
    match = _STRATEGY.fullmatch(strategy)
    assert match is not None
    _, which, digits, percent = match.groups()
    wanted = math.ceil(int(digits) * count / 100) if percent else int(digits)
    wanted = min(wanted, count)
    if which == "first":
        return list(range(wanted))
    if which == "end":
        return list(range(count - wanted, count))
    return [int(one) for one in np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))]


def annotation_files(spec: SetSpec) -> Iterator[tuple[Path, str]]:
    """Each annotation file of a set with its sampling strategy.

    Raises:
        HimmelError: there are none.
    """
    if spec.annotations.suffix.lower() not in (".yaml", ".yml"):
        for file in find_files(spec.annotations):
            yield file, spec.sampling
        return
    for entry in _entries(spec.annotations):
        # Relative paths in the YAML begin where the YAML is.
        for pattern in _alternatives(str(entry.get("json_path"))):
            for file in find_files(spec.annotations.parent / pattern):
                yield file, str(entry.get("sampling_strategy", "all"))


def _entries(file: Path) -> list[dict[str, Any]]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise HimmelError(f"Cannot read {str(file)!r} ({error.strerror}); {_NO_YAML}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise HimmelError(f"{str(file)!r} is not valid YAML ({' '.join(str(error).split())}); correct it.") from error
    entries = content.get("datasets") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(one, dict) and "json_path" in one for one in entries):
        raise HimmelError(f"{str(file)!r} lists no annotation files; {_NO_YAML}")
    return entries


def _alternatives(path: str) -> list[str]:
    """`a/{b,c}.json` as `a/b.json` and `a/c.json`."""
    match = _BRACES.match(path)
    if match is None:
        return [path]
    before, inside, after = match.groups()
    return [f"{before}{one.strip()}{after}" for one in inside.split(",")]
