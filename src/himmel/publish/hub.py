"""Uploading to the hub: one commit for a whole checkpoint."""

import tempfile
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from himmel.errors import HostError
from himmel.model import HimmelForConditionalGeneration
from himmel.model.repository import first_sentence
from himmel.publish.card import write_card

# Training's saved states, and the temporary files of a process that was killed.
_PRIVATE = ["state/*", ".*", "*/.*"]


def push_folder(
    folder: Path, repo_id: str, *, private: bool | None = None, token: str | None = None, message: str
) -> str:
    """Upload a checkpoint folder in one commit; the repository is created if needed.

    Args:
        folder: what `save_pretrained` or training wrote; its `state/` stays at home.
        repo_id: such as `someone/himmel-qwen2.5-vl`.
        private: of a repository that is made; None: as the account has it.
        token: of the account; None: the one that `hf auth login` stored.
        message: the commit's.

    Returns:
        The commit's address.

    Raises:
        HostError: the folder is not a checkpoint, or the hub refuses.
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
            f"The hub refuses {repo_id!r} ({first_sentence(error)}); check the name, and log in with `hf auth login`."
        ) from error
    return str(commit.commit_url)


def push_model(
    model: HimmelForConditionalGeneration, repo_id: str, *, private: bool | None = None, token: str | None = None
) -> str:
    """Save a model, write its card, and upload both; arguments and result as in `push_folder`.

    For a checkpoint that training wrote, prefer `himmel push`: it takes the training's settings and results along.

    Raises:
        HostError: the hub refuses.
    """
    with tempfile.TemporaryDirectory() as name:
        model.save_pretrained(name)
        write_card(Path(name), name=repo_id)
        return push_folder(Path(name), repo_id, private=private, token=token, message="Upload HY-Himmel checkpoint")
