"""What is logged about a corpus while it is learned from."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from himmel.data.samples.skipped import SkippedList


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
