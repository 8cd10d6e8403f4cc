"""What is seen of a training in a terminal."""

import io

from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from himmel.training.bar import TrainingBar, describe, describe_look


def test_a_line_says_how_fast_it_goes_and_how_much_it_waits() -> None:
    logs = {"loss": 1.2345, "tokens_per_second": 5210.4, "waiting": 0.031, "grad_norm": 3.0}
    assert describe(logs) == "loss 1.23, 5,210 tokens/s, waiting 3%"


def test_a_look_says_what_was_found() -> None:
    logs = {"eval_loss": 2.5, "eval_recall_at_1": 0.125, "eval_recall_at_5": 0.5, "eval_positive": 0.3333}
    assert describe_look(logs) == "loss 2.5, R@1 12.5%, R@5 50.0%, cosine 0.333"


def test_the_bar_shows_steps_and_the_newest_numbers(tmp_path: object) -> None:
    written = io.StringIO()
    bar = TrainingBar(Console(file=written, force_terminal=True, width=120))
    state, control = TrainerState(max_steps=8), TrainerControl()
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    # What is logged before the first step is no reason to fail.
    bar.on_log(arguments, state, control, logs={"eval_loss": 4.0})
    bar.on_train_begin(arguments, state, control)
    state.global_step = 3
    bar.on_step_end(arguments, state, control)
    bar.on_log(arguments, state, control, logs={"loss": 0.5, "tokens_per_second": 99.0, "waiting": 0.5})
    bar.on_log(arguments, state, control, logs={"eval_loss": 0.25})
    bar.on_train_end(arguments, state, control)
    shown = written.getvalue()
    assert "3/8" in shown
    assert "loss 0.5, 99 tokens/s, waiting 50%" in shown
    assert "after 3 steps, held out: loss 0.25" in shown
