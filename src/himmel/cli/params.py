"""`himmel params`: what each size and encoder costs in parameters."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from himmel.choices import Encoder, Size
from himmel.cli.console import Column, console, print_json, print_table
from himmel.cli.options import Json, repeatable

if TYPE_CHECKING:
    from himmel.adapter import ComponentCount


def params(
    encoder: Annotated[list[str] | None, repeatable(Encoder, "Motion encoder. Default: all.")] = None,
    size: Annotated[list[str] | None, repeatable(Size, "Size of the adapter. Default: both.")] = None,
    host_hidden_size: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Width of the host. Default: 3584 for paper, 576 for nano.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count the adapter's parameters by component, size and encoder, and compare with the report's table 6."""
    from himmel.adapter import AdapterConfig, parameter_table

    make = {"paper": AdapterConfig.paper, "nano": AdapterConfig.nano}
    width = {} if host_hidden_size is None else {"host_hidden_size": host_hidden_size}
    tables = {
        name: {one: parameter_table(make[name](encoder=one, **width)) for one in encoder or get_args(Encoder)}
        for name in size or get_args(Size)
    }
    if as_json:
        print_json(
            {name: {one: [asdict(row) for row in rows] for one, rows in by.items()} for name, by in tables.items()}
        )
    else:
        print_parameters(tables)


def print_parameters(tables: "dict[str, dict[str, list[ComponentCount]]]") -> None:
    """Print a table for each size: a row per component, a column per encoder, and the report's figures."""
    for size, by_encoder in tables.items():
        columns = list(by_encoder.values())
        # Every digit of one encoder, or as many encoders as fit on a line.
        show = "{:,}".format if len(columns) == 1 else _show_millions
        figures = [row.report for row in columns[0]]
        table = []
        for rows in zip(*columns, strict=True):
            counts = [show(row.parameters) for row in rows]
            report = [] if not any(figures) else ["" if rows[0].report is None else _show_millions(rows[0].report)]
            table.append((rows[0].component, *counts, *report))
        names = [*by_encoder, *(["report"] if any(figures) else [])]
        print_table([Column(f"{size} size", text=True, whole=True), *map(Column, names)], table)
        differences = [row for row in by_encoder.get("ssm", []) if row.difference is not None]
        if differences:
            most = max(differences, key=lambda row: abs(row.difference or 0))
            console.print(
                f"The report counts the encoder ssm; ours differs by at most {most.difference:+.1%} ({most.component})."
            )


def _show_millions(count: float) -> str:
    return f"{count / 1e6:.2f} M"
