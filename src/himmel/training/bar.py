"""The bar of a training in a terminal: steps, time left, loss, how fast it goes and how much it waits for data."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from himmel._text import by_number


class TrainingBar(TrainerCallback):
    """Draws the bar, and a line above it for each look at held-out data; everything else is in the log.

    Args:
        console: where to; None: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Begin with the steps that are done already."""
        del args, control
        if not state.is_world_process_zero:
            return
        columns = TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bar = Progress(*columns, TextColumn("{task.description}"), console=self._console)
        self._task = self._bar.add_task("", total=state.max_steps, completed=state.global_step)
        self._bar.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """One step further."""
        del args, control
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show the newest numbers."""
        del args, control
        if self._bar is None or logs is None:
            return
        if "loss" in logs:
            self._bar.update(self._task, description=describe(logs))
        elif "eval_loss" in logs:
            steps = by_number(state.global_step, "{} step", "{} steps")
            self._bar.console.print(f"after {steps}, held out: {describe_look(logs)}", highlight=False)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Leave the bar as it is."""
        del args, state, control
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def describe(logs: Mapping[str, float]) -> str:
    """The numbers of a line of the log that tell how a training goes: "loss 1.23, 5,200 tokens/s, waiting 3 %"."""
    said = [f"loss {logs['loss']:.3g}"]
    said += [
        f"{value:,.0f} {name.removesuffix('_per_second')}/s"
        for name, value in logs.items()
        if name.endswith("_per_second")
    ]
    return ", ".join([*said, f"waiting {logs.get('waiting', 0):.0%}"])


def describe_look(logs: Mapping[str, float]) -> str:
    """The main numbers of a look at held-out data."""
    said = [f"loss {logs['eval_loss']:.3g}"]
    names = {"eval_recall_at_1": "R@1", "eval_recall_at_5": "R@5", "eval_right_tokens": "right tokens"}
    said += [f"{name} {logs[key]:.1%}" for key, name in names.items() if key in logs]
    if "eval_positive" in logs:
        said.append(f"cosine {logs['eval_positive']:.3f}")
    return ", ".join(said)
