"""`himmel eval`: benchmarks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from typer.core import TyperGroup

from himmel.choices import BenchmarkName, Condition
from himmel.cli.checks import check_writable
from himmel.cli.conditions import eval_conditions
from himmel.cli.console import Column, console, print_json, print_table, quieten
from himmel.cli.evaluate_runs import eval_benchmark, eval_compare
from himmel.cli.judge import eval_judge
from himmel.cli.options import Adapter, Json, repeatable

if TYPE_CHECKING:
    from himmel.evaluation.gates import MeanShares
    from himmel.evaluation.motion import MotionResult

_ANY = "BENCHMARK"


class _Benchmarks(TyperGroup):
    """The verbs of this file; any other word is a benchmark, whose name the verb finds as its own."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            return args[0], self.commands[_ANY], args[1:]
        return super().resolve_command(ctx, args)


eval_app = typer.Typer(
    cls=_Benchmarks,
    no_args_is_help=True,
    help=f"Benchmarks by name ({', '.join(get_args(BenchmarkName))}), or files of questions; runs compared.",
)
eval_app.command(_ANY)(eval_benchmark)
eval_app.command("compare")(eval_compare)
eval_app.command("conditions")(eval_conditions)
eval_app.command("judge")(eval_judge)


@eval_app.command("motion")
def eval_motion(
    adapter: Adapter = None,
    clips: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many clips to render.")] = 400,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the first clip. Default: the first that training never uses.")
    ] = None,
    questions: Annotated[int, typer.Option(min=1, max=64, help="Most questions per clip.")] = 2,
    condition: Annotated[list[str] | None, repeatable(Condition, "What the model is shown. Default: all four.")] = None,
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
        shares = (f"{100 * share:.1f}" for share in (one.motion, one.residual, one.context))
        table.append((kind, str(one.questions), *shares))
    names = ("asked", "motion", "residual", "context")
    print_table([Column("weight, %", text=True, whole=True), *map(Column, names)], table)
