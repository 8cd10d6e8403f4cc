"""The verbs about recipes: `train`, `recipe list`, `recipe show`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from himmel.cli.console import Column, console, print_json, print_rows, print_table, quieten
from himmel.cli.options import Json
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.training.listing import ListedRecipe, ShownRecipe
    from himmel.training.recipe import ReportSection

recipe_app = typer.Typer(no_args_is_help=True, help="Recipes: one file for each row of the report's tables.")


def _bases() -> list[str]:
    from himmel.training.resolve import base_names

    return base_names()


def _recipes() -> list[str]:
    from himmel.training.resolve import recipe_names

    return recipe_names()


Base = Annotated[
    str | None,
    typer.Option(
        help="nano, qwen2_5_vl, qwen3_vl, internvl, llava_onevision, or a file. Default: the recipe's own.",
        autocompletion=_bases,
    ),
]
Change = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe. Repeat for several."),
]
RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A name that `himmel recipe list` shows, or a file.",
        show_default=False,
        autocompletion=_recipes,
    ),
]


def train(
    recipe: RecipeName,
    base: Base = None,
    change: Change = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--from-scratch",
            help="Reuse finished stages and continue an interrupted one, or start from scratch.",
        ),
    ] = True,
) -> None:
    """Train RECIPE, stage by stage. An interrupted run continues where it stopped."""
    overrides = split_changes(change)
    quieten(bars=True)
    from himmel.training.run import run_recipe

    checkpoint = run_recipe(recipe, base=base, overrides=overrides, resume=resume, tell=typer.echo)
    typer.echo(f"The checkpoint is in {checkpoint}")


@recipe_app.command("list")
def list_all(
    table: Annotated[int | None, typer.Option(min=1, help="Only the rows of this table.")] = None, as_json: Json = False
) -> None:
    """List the recipes: which row of the report each is, and whether it runs here."""
    from himmel.training.listing import list_recipes

    found = list_recipes(table=table)
    if not found:
        raise UsageError(f"There is no recipe for table {table}; `himmel recipe list` shows all.")
    if as_json:
        rows = [
            {"name": one.name, **one.report.model_dump(mode="json"), "bases": one.lacks, "runs": _runs(one.lacks)}
            for one in found
        ]
        print_json(rows)
    else:
        print_recipes(found)


@recipe_app.command("show")
def show(recipe: RecipeName, base: Base = None, change: Change = None, as_json: Json = False) -> None:
    """Print RECIPE's settings and where each comes from, its stages, and the commands that measure the result."""
    overrides = split_changes(change)
    from himmel.training.listing import show_recipe
    from himmel.training.resolve import resolve_recipe

    shown = show_recipe(resolve_recipe(recipe, base=base, overrides=overrides))
    if as_json:
        print_json(asdict(shown) | {"report": shown.report.model_dump(mode="json")})
    else:
        print_recipe(shown)


def split_changes(changes: list[str] | None) -> dict[str, str]:
    """`KEY=VALUE` arguments by key.

    Raises:
        UsageError: one is of another form.
    """
    pairs = [text.partition("=") for text in changes or []]
    for key, sign, value in pairs:
        if not sign or not key:
            raise UsageError(
                f"--set {key + value!r} is not KEY=VALUE; write, for example, --set stage1.optimizer.steps=20."
            )
    return {key: value for key, _, value in pairs}


def _runs(lacks: dict[str, tuple[str, ...]]) -> list[str]:
    return [base for base, missing in lacks.items() if not missing]


def print_recipes(found: "Sequence[ListedRecipe]") -> None:
    """Print a line for each recipe: its row of the report, and on which of its bases it runs here."""
    rows = []
    lacking: Counter[str] = Counter()
    for one in found:
        row = f"{_row_of_report(one.report)}: {one.report.row}" if one.report.row else ""
        rows.append((one.name, row, ", ".join(_runs(one.lacks)) or "nothing"))
        lacking.update(f"{base}: {', '.join(missing)}" for base, missing in one.lacks.items() if missing)
    names = ("row of the report", "runs here on")
    print_table([Column("recipe", text=True, whole=True), *(Column(name, text=True) for name in names)], rows)
    if lacking:
        console.print(
            "\nWhat this version lacks, and how many recipes need it (`himmel recipe show NAME` shows it for one):"
        )
    for needs, count in sorted(lacking.items()):
        console.print(f"  {escape(needs)} ({count})")
    console.print(
        "\nA row that runs here may still need a benchmark's data, which you download: `himmel recipe show NAME` "
        "prints the commands that give its figure, with --data DIR."
    )


def print_recipe(shown: "ShownRecipe") -> None:
    """Print every setting of a recipe and where it comes from, its stages and how its figure is measured."""
    stages = (f"{folder} ({'done' if done else 'not done yet'})" for folder, done in shown.stages.items())
    print_rows(
        {
            "recipe": f"{shown.name} on {shown.base}",
            "of the report": f"{_row_of_report(shown.report)}: {shown.report.row}" if shown.report.row else "",
            "stages": "\n".join(stages),
            "checkpoint": shown.checkpoint,
            "measured by": "\n".join(shown.evaluate) or "nothing that this version has",
            "figure": f"the row {shown.figure!r} of what is printed" if shown.figure else "",
            "needs": ", ".join(shown.lacks),
        }
    )
    columns = [Column("setting", text=True, whole=True), Column("value", text=True), Column("from", text=True)]
    print_table(columns, [(one.key, str(one.value), one.origin) for one in shown.settings])


def _row_of_report(report: "ReportSection") -> str:
    number = f"table {report.table}" if report.table else f"figure {report.figure}" if report.figure else ""
    return f"{number} ({report.section})" if report.section else number
