"""`himmel eval`: benchmarks."""

from typing import Any, get_args

import typer
from typer.core import TyperGroup

from himmel.choices import BenchmarkName
from himmel.cli.conditions import eval_conditions
from himmel.cli.evaluate_runs import eval_benchmark, eval_compare
from himmel.cli.judge import eval_judge

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
