"""`himmel nano bench`: nano's own benchmark, on clips that are rendered for it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from himmel.choices import Condition
from himmel.cli.checks import check_writable
from himmel.cli.console import Column, console, print_json, print_table, quieten
from himmel.cli.options import Adapter, Json, repeatable

if TYPE_CHECKING:
    from himmel.evaluation.gates import MeanShares
    from himmel.evaluation.motion import MotionResult


def nano_bench(
    adapter: Adapter = None,
    clips: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many clips to render.")] = 400,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the first clip. Default: the first that training never uses.")
    ] = None,
    questions: Annotated[int, typer.Option(min=1, max=64, help="Most questions per clip.")] = 2,
    condition: Annotated[list[str] | None, repeatable(Condition, "What the model is shown. Default: all four.")] = None,
    control: Annotated[
        str | None,
        typer.Option(
            metavar="ADAPTER", help="Checkpoint to ask by text alone, such as one trained so. Default: the same one."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="JSON file for the results. An interrupted run continues from it."),
    ] = None,
    gates: Annotated[bool, typer.Option("--gates", help="Also print how the fusion weighed the streams.")] = False,
    as_json: Json = False,
) -> None:
    """Ask about freshly rendered clips: with motion tokens, without, with another clip's, and by text alone."""
    check_writable(output)
    from himmel.evaluation.motion import run_motion_benchmark
    from himmel.methods.models import default_checkpoint
    from himmel.nano.clips import FIRST_EVAL_SEED

    quieten()
    result = run_motion_benchmark(
        adapter or default_checkpoint(),
        num_clips=clips,
        seed=FIRST_EVAL_SEED if seed is None else seed,
        questions_per_clip=questions,
        conditions=cast("list[Condition]", condition) if condition else get_args(Condition),
        control=control,
        output=output,
    )
    if as_json:
        print_json({**asdict(result), "summary": result.summary.to_json()})
    else:
        print_motion(result)
        if gates:
            print_gates(result.gates)


def print_motion(result: "MotionResult") -> None:
    """Print accuracies with their 95% Wilson intervals by question kind, and the paired tests."""
    (first, *others), rows = result.summary.table()
    print_table([Column(first, text=True, whole=True), *map(Column, others)], rows)
    for test in result.summary.tests():
        console.print(test)
    console.print(
        f"{result.questions} questions about {result.clips} clips from seed {result.first_seed}, {result.seconds:.0f} s"
    )


def print_gates(gates: "dict[str, MeanShares]") -> None:
    """Print the streams' mean shares by question kind."""
    if not gates:
        console.print("This adapter's fusion has no gates, or no question was asked with motion tokens.")
        return
    table = []
    for kind in sorted(gates, key=lambda kind: (kind.startswith("all"), kind)):
        one = gates[kind]
        shares = (one.motion, one.residual, one.context, *([] if one.sound is None else [one.sound]))
        table.append((kind, str(one.questions), *(f"{100 * share:.1f}" for share in shares)))
    names = ("asked", "motion", "residual", "context", "sound")[: len(table[0]) - 1]
    print_table([Column("weight, %", text=True, whole=True), *map(Column, names)], table)
