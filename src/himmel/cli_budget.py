"""`himmel budget`: what a prompt costs, before a video is decoded and without a host's weights."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from himmel.errors import UsageError

_DEFAULT_SIZE = (1280, 720)
_DEFAULT_DURATION = 3600.0


def budget(
    video: Annotated[
        Path | None, typer.Argument(metavar="[VIDEO]", help="Takes size and duration from a file.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="nano, or a host's folder or name; only its small files are read.")
    ] = "nano",
    all_hosts: Annotated[
        bool,
        typer.Option(
            "--all-hosts", help="Image and motion tokens of every family as published; needs no host's files."
        ),
    ] = False,
    anchors: Annotated[int, typer.Option(min=1, max=64, help="Frames that the vision tower sees.")] = 8,
    tokens: Annotated[int, typer.Option(min=1, max=256, help="Motion tokens per interval.")] = 64,
    steps: Annotated[int, typer.Option(min=1, max=128, help="Moments read in each interval.")] = 16,
    dense_frames: Annotated[int, typer.Option(min=1, max=4096, help="Frames of the dense comparison.")] = 32,
    width: Annotated[int | None, typer.Option(min=1, max=16384, help="Of the picture; default: 1280.")] = None,
    height: Annotated[int | None, typer.Option(min=1, max=16384, help="Of the picture; default: 720.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Of the video in seconds; default: 3600.")] = None,
    question: Annotated[str, typer.Option(help="What will be asked.")] = "What happens in the video?",
    placement: Annotated[
        str, typer.Option(help="per_anchor, prefix, suffix, chunked or attention: where motion tokens stand.")
    ] = "per_anchor",
    max_anchor_tokens: Annotated[int, typer.Option(min=1, max=65536, help="Most image tokens of a picture.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Count the tokens of a prompt, exactly, by kind; nothing is decoded for it and no weights are loaded."""
    if video is not None and not (width is None and height is None and duration is None):
        raise UsageError(f"{str(video)!r} came together with a width, height or duration; give either.")
    size, seconds = (width or _DEFAULT_SIZE[0], height or _DEFAULT_SIZE[1]), duration or _DEFAULT_DURATION
    most = anchors
    if video is not None:
        from himmel.video import Video

        opened = Video(video)
        size, seconds, most = (opened.width, opened.height), opened.duration, opened.num_frames
    from transformers.utils import logging

    from himmel import _report
    from himmel.model.budget import BudgetRequest, plan_budget, plan_families

    logging.set_verbosity_error()
    request = BudgetRequest(
        width=size[0],
        height=size[1],
        duration=seconds,
        num_anchors=min(anchors, most),
        tokens_per_interval=tokens,
        steps_per_interval=steps,
        dense_frames=dense_frames if video is None else min(dense_frames, most),
        question=question,
        placement=placement,
        max_anchor_tokens=max_anchor_tokens,
    )
    found = plan_families(request) if all_hosts else [plan_budget(host, request)]
    if as_json:
        rows = [{**asdict(one), "ratios": one.ratios, "seconds_between": one.spacing} for one in found]
        typer.echo(json.dumps(rows if all_hosts else rows[0], indent=2))
    else:
        _report.print_budgets(found)
