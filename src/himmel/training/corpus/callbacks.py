"""What is logged about a corpus while it is learned from, and what is kept beside its checkpoints."""

from pathlib import Path
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from himmel._files import atomic_path
from himmel.data.samples.skipped import SkippedList
from himmel.errors import RecipeError

_SAMPLES: Final = "samples.sha256"


class SkippedCount(TrainerCallback):
    """Adds to each line of the log how many things were skipped so far: `skipped`.

    Args:
        skipped: the list of the run.
    """

    def __init__(self, skipped: SkippedList) -> None:
        self._skipped = skipped

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """Count the list."""
        del args, control, rest
        # The log is the first process's.
        if state.is_world_process_zero and logs is not None and "loss" in logs:
            logs["skipped"] = state.log_history[-1]["skipped"] = float(len(self._skipped.entries()))


class SameSamples(TrainerCallback):
    """Sees that a training goes on with the samples that it began with; others would make it repeat and miss some.

    Args:
        mark: of the samples and their order.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Keep the mark in the checkpoint."""
        del control
        if state.is_world_process_zero:
            # A half-written mark would fit no samples, and the training could not go on.
            with atomic_path(_checkpoint(args, state) / _SAMPLES) as file:
                file.write_text(self._mark, encoding="ascii")

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Compare it.

        Raises:
            RecipeError: the checkpoint has another mark.
        """
        del control
        kept = _checkpoint(args, state) / _SAMPLES
        if state.global_step and kept.is_file() and kept.read_text(encoding="ascii", errors="replace") != self._mark:
            raise RecipeError(
                f"The samples of data.sets have changed since step {state.global_step} of this training; bring the "
                "files back as they were, or begin again by --from-scratch."
            )


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
