"""Checkpoints and hosts by repository name, as the ecosystem does it: huggingface_hub's cache, one commit an upload."""

import os
import re
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from himmel.errors import HostError

# What training keeps to go on from, and what writers leave behind when they are killed, is nobody else's.
_PRIVATE = ["state/*", ".*", "*/.*"]
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def is_repository(name: str) -> bool:
    """Whether `name` may be a repository's on the hub: `owner/name`, and nothing here is called so."""
    return bool(_REPOSITORY.fullmatch(name)) and not Path(name).exists()


def local_folder(source: str | os.PathLike[str], *, allow: list[str] | None = None) -> Path:
    """Where a folder, or a repository's files in the hub's cache, stand on this machine; fetched if they are not there.

    Args:
        source: a folder, or a repository name such as `someone/himmel-qwen2.5-vl`. What is no such name is taken for a
            folder, whether one is there or not.
        allow: patterns of the files to fetch; None for all.

    Raises:
        HostError: there is no such folder here and no such repository within reach.
    """
    name = os.fspath(source)
    if not is_repository(name):
        return Path(source)
    try:
        return Path(snapshot_download(name, allow_patterns=allow))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise HostError(
            f"There is no folder {name!r}, and no repository of that name can be fetched "
            f"({_first_sentence(error)}); name a folder, or log in and try again."
        ) from error


def push_folder(
    folder: Path, repo_id: str, *, private: bool | None = None, token: str | None = None, message: str
) -> str:
    """Upload a checkpoint folder in one commit; the repository is made if there is none.

    Args:
        folder: what `save_pretrained` or training wrote; its `state/` stays at home.
        repo_id: such as `someone/himmel-qwen2.5-vl`.
        private: of a repository that is made; None: as the account has it.
        token: of the account; None: the one that `hf auth login` stored.
        message: the commit's.

    Returns:
        The commit's address.

    Raises:
        HostError: the folder is no checkpoint, or the hub refuses.
    """
    if not (folder / "config.json").is_file():
        raise HostError(f"There is no checkpoint in {str(folder)!r}; name a folder with a config.json.")
    hub = HfApi(token=token)
    try:
        made = hub.create_repo(repo_id, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=made.repo_id, folder_path=folder, commit_message=message, ignore_patterns=_PRIVATE
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise HostError(
            f"The hub refuses {repo_id!r} ({_first_sentence(error)}); check the name, and log in by `hf auth login`."
        ) from error
    return str(commit.commit_url)


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
