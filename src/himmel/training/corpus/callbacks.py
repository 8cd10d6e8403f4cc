"""What is logged about a corpus while it is learned from."""

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from himmel.data.samples.skipped import SkippedList


class WaitingShare(TrainerCallback):
    """Adds to each line of the log which share of the time, 0 to 1, was spent waiting for batches: `waiting`.

    Waiting is from the end of a step, or of what is done between steps, to the beginning of the next; with gradient
    accumulation the trainer takes all micro-batches of a step before it begins.
    """

    def __init__(self) -> None:
        self._since = self._begin = time.perf_counter()
        self._waited = 0.0

    def _rest(self) -> None:
        self._since = time.perf_counter()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any
    ) -> None:
        """The first batch is waited for from here."""
        del args, state, control, rest
        self._rest()
        self._begin, self._waited = self._since, 0.0

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """The batch is there."""
        del args, state, control, rest
        self._waited += time.perf_counter() - self._since

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """The next is waited for."""
        del args, state, control, rest
        self._rest()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Writing was not waiting."""
        del args, state, control, rest
        self._rest()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: Any) -> None:
        """Nor was evaluating."""
        del args, state, control, rest
        self._rest()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **rest: Any,
    ) -> None:
        """Write the share since the last line."""
        del args, control, rest
        now = time.perf_counter()
        if logs is not None and "loss" in logs:
            share = round(self._waited / max(now - self._begin, 1e-9), 3)
            logs["waiting"] = state.log_history[-1]["waiting"] = share
            self._begin, self._waited = now, 0.0
        self._rest()


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
        if logs is not None and "loss" in logs:
            logs["skipped"] = state.log_history[-1]["skipped"] = float(len(self._skipped.entries()))
