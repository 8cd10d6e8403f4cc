"""What checkpoints are called in results."""

from pathlib import Path

from himmel.methods.models import checkpoint_name, default_checkpoint


def test_the_shipped_checkpoint_has_one_name_on_every_machine() -> None:
    assert checkpoint_name(default_checkpoint()) == checkpoint_name(str(default_checkpoint())) == "nano"


def test_other_checkpoints_are_called_by_their_folder(tmp_path: Path) -> None:
    assert checkpoint_name(tmp_path / "mine") == str(tmp_path / "mine")
