"""`himmel params`: what each size and encoder costs in parameters."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from himmel.errors import UsageError

_SIZES = ("paper", "nano")


def params(
    encoder: Annotated[
        list[str] | None, typer.Option(help="ssm, resnet18, siglip, shared_vit or none; repeatable; default: all.")
    ] = None,
    size: Annotated[list[str] | None, typer.Option(help="paper or nano; repeatable; default: both.")] = None,
    host_hidden_size: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Width of the host; default: 3584 for paper, 576 for nano.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Count the adapter's parameters by component, size and encoder, beside the report's table 6."""
    from himmel import _report
    from himmel.adapter import AdapterConfig, parameter_table
    from himmel.adapter.config import ENCODERS

    make = {"paper": AdapterConfig.paper, "nano": AdapterConfig.nano}
    width = {} if host_hidden_size is None else {"host_hidden_size": host_hidden_size}
    unknown = [name for name in size or [] if name not in _SIZES]
    if unknown:
        raise UsageError(f"--size {unknown[0]!r} does not exist; choose one of {', '.join(_SIZES)}.")
    tables = {
        # Names that are no encoder are refused by the config.
        name: {one: parameter_table(make[name](encoder=one, **width)) for one in encoder or ENCODERS}
        for name in size or _SIZES
    }
    if as_json:
        rows = {name: {one: [asdict(row) for row in table] for one, table in by.items()} for name, by in tables.items()}
        typer.echo(json.dumps(rows, indent=2))
    else:
        _report.print_parameters(tables)
