"""Options of verbs that ask a model behind an API, and what is made of them."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from himmel.cli.options import refuse_empty
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.evaluation.api.money import Prices
    from himmel.evaluation.api.settings import ApiSettings, Key

_API: Final = "Who is asked: a model behind an API"

Model = Annotated[str | None, typer.Option(help="Name by which the API knows the model.", rich_help_panel=_API)]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Any OpenAI-compatible API, up to and with /v1. Default: OPENAI_BASE_URL, else OpenAI's own.",
        rich_help_panel=_API,
    ),
]
KeyVariable = Annotated[
    str, typer.Option(callback=refuse_empty, help="Environment variable that holds the key.", rich_help_panel=_API)
]
PriceIn = Annotated[
    float | None, typer.Option(min=0, help="Price of a million tokens of the prompt.", rich_help_panel=_API)
]
PriceOut = Annotated[
    float | None, typer.Option(min=0, help="Price of a million tokens of the answer.", rich_help_panel=_API)
]
MostCost = Annotated[
    float | None,
    typer.Option(help="Stop before more than this is spent on all runs; needs both prices.", rich_help_panel=_API),
]
AtOnce = Annotated[
    int, typer.Option(min=1, max=256, help="Questions under way at the same time.", rich_help_panel=_API)
]
Patience = Annotated[float, typer.Option(min=0.1, help="How long an attempt waits for the API.", rich_help_panel=_API)]
Retries = Annotated[
    int, typer.Option(min=0, max=100, help="Further attempts after trouble that may pass.", rich_help_panel=_API)
]
Temperature = Annotated[
    float, typer.Option(min=0, max=2, help="0 asks for the likeliest answer.", rich_help_panel=_API)
]


def read_prices(price_in: float | None, price_out: float | None, most_cost: float | None) -> "Prices | None":
    """The prices of both kinds of tokens; None if none are given.

    Raises:
        UsageError: one of them is missing, or both are and there is a limit on spending.
    """
    if price_in is None and price_out is None:
        if most_cost is not None:
            raise UsageError(
                f"--most-cost {most_cost:g} needs to know what tokens cost; give --price-in and --price-out."
            )
        return None
    if price_in is None or price_out is None:
        raise UsageError("Only one of --price-in and --price-out is given; give both, in the same currency.")
    from himmel.evaluation.api.money import Prices

    return Prices(price_in, price_out)


def read_settings(
    *,
    url: str | None,
    key_variable: str,
    model: str,
    max_new_tokens: int,
    seed: int,
    temperature: float,
    seconds: float,
    retries: int,
) -> "tuple[ApiSettings, Key]":
    """Which API is asked and how, and its key.

    Raises:
        UsageError: one of them is not possible.
    """
    from himmel.evaluation.api.settings import ApiSettings, find_key, find_url

    settings = ApiSettings(
        url=find_url(url),
        model=model,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        seconds=seconds,
        retries=retries,
    )
    return settings, find_key(settings.url, variable=key_variable)
