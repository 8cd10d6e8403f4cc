"""Checkpoints and hosts by folder or repository name, out of huggingface_hub's cache."""

import os
import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from himmel.errors import HostError

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def is_repository(name: str) -> bool:
    """Whether `name` may be a repository's on the hub: `owner/name`, and nothing here is called so."""
    return bool(_REPOSITORY.fullmatch(name)) and not Path(name).exists()


def local_folder(
    source: str | os.PathLike[str], *, allow: list[str] | None = None, revision: str | None = None
) -> Path:
    """The path of a folder, or of a repository's files in the hub's cache; they are fetched if they are not there.

    Args:
        source: a folder, or a repository name such as `someone/himmel-qwen2.5-vl`. What is no such name is taken for a
            folder, whether one is there or not.
        allow: patterns of the files to fetch; None for all.
        revision: branch, tag or commit of a repository; None for its main branch. Folders have none.

    Raises:
        HostError: there is no such folder here and no such repository within reach.
    """
    name = os.fspath(source)
    if not is_repository(name):
        return Path(source)
    try:
        return Path(snapshot_download(name, allow_patterns=allow, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise HostError(
            f"There is no folder {name!r}, and no repository of that name can be fetched "
            f"({first_sentence(error)}); name a folder, or log in and try again."
        ) from error


def first_sentence(error: Exception) -> str:
    """What huggingface_hub says, without the addresses and hints of its later lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
