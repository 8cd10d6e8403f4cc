"""The verbs about recipes: `train`, `train init`, `recipe list`, `recipe show`."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from himmel.cli.console import Column, console, print_json, print_rows, print_table, quieten
from himmel.cli.options import Json
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.training.corpus.begin import Begun
    from himmel.training.listing import ListedRecipe, ShownRecipe
    from himmel.training.recipe import ReportSection

_ANY = "RECIPE"
_SHOWN = {"video": "videos", "image": "pictures", "text": "nothing shown"}

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


class _Recipes(TyperGroup):
    """The verbs of `train`; any other word is a recipe."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            ctx.fail("Missing argument 'RECIPE'.")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args and args[0] not in self.commands:
            return args[0], self.commands[_ANY], args
        return super().resolve_command(ctx, args)


train_app = typer.Typer(
    cls=_Recipes,
    # Options may come before the recipe; they are the verb's, not the group's.
    context_settings={"ignore_unknown_options": True},
    help="Train a recipe, by name or file; or begin one for your own videos.",
)


@train_app.command(_ANY)
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
    from himmel.training.gather import is_first
    from himmel.training.run import run_recipe

    checkpoint = run_recipe(recipe, base=base, overrides=overrides, resume=resume, tell=typer.echo)
    if is_first():
        typer.echo(f"The checkpoint is in {checkpoint}")


@train_app.command("init")
def train_init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the recipe and its runs.", show_default=False)
    ],
    videos: Annotated[
        Path, typer.Option("--videos", metavar="DIR", help="Folder where the videos' paths begin.", show_default=False)
    ],
    questions: Annotated[
        Path,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="Questions with answers, or conversations (.json, .jsonl, .parquet, LLaVA's .yaml, a folder).",
            show_default=False,
        ),
    ],
    host: Annotated[str, typer.Option(help="Name or folder of the host.")] = "nano",
    checks: Annotated[int, typer.Option(min=1, max=1000, help="How many samples to try.")] = 10,
    as_json: Json = False,
) -> None:
    """Write DIR/recipe.yaml for your own videos, try some samples, and print what training will take."""
    quieten()
    from himmel.training.corpus.begin import begin_recipe

    begun = begin_recipe(folder, videos=videos, questions=questions, host=host, checks=checks)
    if as_json:
        print_json(asdict(begun) | {"recipe": str(begun.recipe)})
    else:
        print_begun(begun)


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
                f"--set {key + sign + value!r} is not KEY=VALUE; write, for example, --set stage1.optimizer.steps=20."
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


def print_begun(begun: "Begun") -> None:
    """Print the samples that were tried, and what training on all of them takes."""
    columns = [Column("sample", text=True), Column("tokens"), Column("seconds to read"), Column("trouble", text=True)]
    rows = [
        (one.name, "" if one.tokens is None else f"{one.tokens:,}", f"{one.seconds:.2f}", one.why)
        for one in begun.checked
    ]
    print_table(columns, rows)
    shown = ", ".join(f"{count:,} about {_SHOWN[kind]}" for kind, count in begun.samples.items() if count)
    hours = begun.reading_seconds / 3600
    print_rows(
        {
            "samples": f"{shown}; {begun.videos:,} different videos",
            "unusable rows": f"{begun.unusable:,}" if begun.unusable else "",
            "steps": ", ".join(f"{name} {count:,}" for name, count in begun.steps.items()),
            "tokens of stage 2": f"about {begun.tokens:,}",
            "reading": f"about {hours:.2g} hours of one process, beside the computing of each step",
            "recipe": str(begun.recipe),
        }
    )
    typer.echo(f"Run it with `{shlex.join(['himmel', 'train', str(begun.recipe)])}`")


def _row_of_report(report: "ReportSection") -> str:
    number = f"table {report.table}" if report.table else f"figure {report.figure}" if report.figure else ""
    return f"{number} ({report.section})" if report.section else number
