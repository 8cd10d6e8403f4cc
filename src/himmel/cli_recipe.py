"""The verbs about recipes: `train`, `recipe list`, `recipe show`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from himmel.errors import UsageError

recipe_app = typer.Typer(no_args_is_help=True, help="One file per row of the report's tables.")

Base = Annotated[
    str | None,
    typer.Option(help="nano, qwen2_5_vl, qwen3_vl, internvl, llava_onevision or a file; default: the recipe's own."),
]
Change = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name that `himmel recipe list` shows, or a file.", show_default=False)
]


def train(
    recipe: RecipeName,
    base: Base = None,
    change: Change = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--from-scratch",
            help="Whether finished stages are taken and an interrupted one goes on where it was.",
        ),
    ] = True,
) -> None:
    """Train what RECIPE says, stage by stage; run again, it goes on where it was."""
    overrides = split_changes(change)
    from himmel.training.run import run_recipe

    checkpoint = run_recipe(recipe, base=base, overrides=overrides, resume=resume, tell=typer.echo)
    typer.echo(f"The checkpoint is in {checkpoint}")


@recipe_app.command("list")
def list_all(
    table: Annotated[int | None, typer.Option(min=1, help="Rows of this table alone.")] = None, as_json: Json = False
) -> None:
    """List the recipes with the rows that they stand for, and whether they run here."""
    from himmel.training.listing import list_recipes

    found = list_recipes(table=table)
    if not found:
        raise UsageError(f"No recipe stands for table {table}; `himmel recipe list` shows those that are there.")
    if as_json:
        rows = [
            {"name": one.name, **one.report.model_dump(mode="json"), "bases": one.lacks, "runs": _runs(one.lacks)}
            for one in found
        ]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from himmel._report import print_recipes

    print_recipes(found)


@recipe_app.command("show")
def show(recipe: RecipeName, base: Base = None, change: Change = None, as_json: Json = False) -> None:
    """Print every setting of RECIPE and where it comes from, its stages, and the command that measures it."""
    overrides = split_changes(change)
    from himmel.training.listing import show_recipe
    from himmel.training.resolve import resolve_recipe

    shown = show_recipe(resolve_recipe(recipe, base=base, overrides=overrides))
    if as_json:
        content = asdict(shown) | {"report": shown.report.model_dump(mode="json")}
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    from himmel._report import print_recipe

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
