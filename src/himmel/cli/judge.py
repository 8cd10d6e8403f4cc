"""`himmel eval judge`: the free answers of a run, judged by a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from himmel._text import by_number
from himmel.cli.api_options import (
    ApiUrl,
    AtOnce,
    KeyVariable,
    Model,
    MostCost,
    Patience,
    PriceIn,
    PriceOut,
    Retries,
    Temperature,
    read_prices,
    read_settings,
)
from himmel.cli.console import Column, console, print_json, print_table
from himmel.cli.options import Json, Seed
from himmel.errors import HimmelError, UsageError

if TYPE_CHECKING:
    from himmel.evaluation.judging import Judgement
    from himmel.evaluation.statistics import Accuracy


def eval_judge(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with free answers.")],
    model: Model = None,
    api: ApiUrl = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    most_cost: MostCost = None,
    at_once: AtOnce = 4,
    seconds: Patience = 120.0,
    retries: Retries = 6,
    temperature: Temperature = 0.0,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, max=2**20, help="Most tokens of a verdict, hidden reasoning included.")
    ] = 1024,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Have a model say of each free answer of RUN whether it means the right one, and how well it matches, 0 to 5.

    Verdicts are kept in RUN, and an interrupted call continues.
    """
    if model is None:
        raise UsageError("Nobody is to judge; name a model of an API with --model.")
    from himmel.evaluation.judging import judge_run

    settings, key = read_settings(
        url=api,
        key_variable=key_variable,
        model=model,
        max_new_tokens=max_new_tokens,
        seed=seed,
        temperature=temperature,
        seconds=seconds,
        retries=retries,
    )
    prices = read_prices(price_in, price_out, most_cost)
    judgement = judge_run(run, settings, key, prices=prices, limit=most_cost, at_once=at_once)
    if as_json:
        print_json(judgement.to_json())
    else:
        print_judgement(judgement)
    if judgement.asked.stopped is not None:
        raise HimmelError(judgement.asked.stopped)
    if judgement.asked.unanswered:
        number = by_number(len(judgement.asked.unanswered), "{} answer is", "{} answers are")
        first = ": ".join(next(iter(judgement.asked.unanswered.items())))
        raise HimmelError(f"{number} not judged yet, the first {first} Run the same command again.")


def print_judgement(judgement: "Judgement") -> None:
    """Print what the judge and the benchmark's own rule say of the same answers."""
    rows = [("exact match", *_show(judgement.exact)), (f"judge {judgement.judge}", *_show(judgement.right))]
    print_table([Column("by", text=True), *map(Column, ("answers", "right, %", "95 % interval"))], rows)
    console.print(f"The judge finds that they match by {judgement.score:.2f} of 5 on average.")
    failed = [one for one in judgement.judged if one.error is not None]
    if failed:
        number = by_number(len(failed), "{} answer", "{} answers")
        console.print(
            escape(f"{number} could not be judged, counted as wrong, the first {failed[0].id}: {failed[0].error}")
        )
    if judgement.cost is not None:
        from himmel.evaluation.api.money import show_cost

        console.print(f"Judging cost {show_cost(judgement.cost)} in all.")


def _show(one: "Accuracy") -> tuple[str, str, str]:
    return str(one.total), f"{100 * one.share:.1f}", f"[{100 * one.low:.1f}, {100 * one.high:.1f}]"
