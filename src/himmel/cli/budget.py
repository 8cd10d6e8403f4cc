"""`himmel budget`: what a prompt costs, or a training, before a video is decoded and without a host's weights."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from himmel._progress import working
from himmel.choices import PlacementName, TimesName
from himmel.cli.console import Column, console, print_json, print_rows, print_table, quieten
from himmel.cli.options import Json, refuse_empty
from himmel.cli.recipe import Base, Change, split_changes
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.model.budget import Budget
    from himmel.training.memory import StageMemory

_OF_TRAINING = ("training", "base", "change", "devices", "as_json")
_DEFAULT_SIZE = (1280, 720)
_DEFAULT_DURATION = 3600.0


def budget(
    context: typer.Context,
    video: Annotated[
        str | None,
        typer.Argument(metavar="VIDEO", help="A video; its size and duration are used.", callback=refuse_empty),
    ] = None,
    host: Annotated[
        str, typer.Option(help="nano, or a host's folder or repository name. Only its small files are read.")
    ] = "nano",
    all_hosts: Annotated[
        bool,
        typer.Option(
            "--all-hosts", help="Image and motion tokens of every family of hosts as published. Needs no files."
        ),
    ] = False,
    anchors: Annotated[int, typer.Option(min=1, max=64, help="How many frames the vision tower sees.")] = 8,
    tokens: Annotated[int, typer.Option(min=1, max=256, help="Motion tokens per interval.")] = 64,
    steps: Annotated[int, typer.Option(min=1, max=128, help="How many moments to read per interval.")] = 16,
    dense_frames: Annotated[
        int, typer.Option(min=1, max=4096, help="Compare with a prompt that shows this many frames and no motion.")
    ] = 32,
    width: Annotated[int | None, typer.Option(min=1, max=16384, help="Width of the picture. Default: 1280.")] = None,
    height: Annotated[int | None, typer.Option(min=1, max=16384, help="Height of the picture. Default: 720.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.001, help="Seconds of video. Default: 3600.")] = None,
    question: Annotated[str, typer.Option(help="What will be asked.")] = "What happens in the video?",
    placement: Annotated[PlacementName, typer.Option(help="Where motion tokens go in the prompt.")] = "per_anchor",
    times: Annotated[
        TimesName, typer.Option(help="Whether the prompt tells when each anchor and interval is.")
    ] = "none",
    max_anchor_tokens: Annotated[int, typer.Option(min=1, max=65536, help="Most image tokens for one picture.")] = 256,
    training: Annotated[
        str | None,
        typer.Option("--training", metavar="RECIPE", help="Estimate the memory of training this recipe instead."),
    ] = None,
    base: Base = None,
    change: Change = None,
    devices: Annotated[int, typer.Option(min=1, max=65536, help="With --training: devices that share it.")] = 1,
    as_json: Json = False,
) -> None:
    """Count a prompt's tokens, exactly and by kind; or estimate a training's memory. No weights are loaded."""
    if training is not None:
        _refuse_prompt(context, video)
        show_training(training, base=base, changes=split_changes(change), devices=devices, as_json=as_json)
        return
    if base is not None or change or devices != 1:
        raise UsageError("--base, --set and --devices are about a training; name its recipe by --training.")
    if video is not None and not (width is None and height is None and duration is None):
        raise UsageError(f"{video!r} was given together with a width, height or duration; give one or the other.")
    size, seconds = (width or _DEFAULT_SIZE[0], height or _DEFAULT_SIZE[1]), duration or _DEFAULT_DURATION
    most = anchors
    if video is not None:
        from himmel.video import Video

        opened = Video(video)
        size, seconds, most = (opened.width, opened.height), opened.duration, opened.num_frames
    quieten()
    from himmel.model.budget import BudgetRequest, plan_budget, plan_families

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
        times=times,
        max_anchor_tokens=max_anchor_tokens,
    )
    found = plan_families(request) if all_hosts else [plan_budget(host, request)]
    if as_json:
        rows = [{**asdict(one), "ratios": one.ratios, "seconds_between": one.spacing} for one in found]
        print_json(rows if all_hosts else rows[0])
    else:
        print_budgets(found)


def _refuse_prompt(context: typer.Context, video: str | None) -> None:
    """Refuse what is about a prompt, and would change nothing of a training's memory."""
    if video is not None:
        raise UsageError(f"{video!r} has no part in a training's memory; leave it out, or --training.")
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _OF_TRAINING and source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--{name.replace('_', '-')} is about a prompt, and --training takes everything from its recipe; leave "
                "it out, or change the recipe by --set."
            )


def print_budgets(budgets: "Sequence[Budget]") -> None:
    """Print what prompts cost on each host, a row for each prompt."""
    request = budgets[0].request
    print_rows(
        {
            "video": f"{request.width} x {request.height}, {request.duration:g} s",
            "asked for": f"{request.tokens_per_interval} motion tokens an interval, placed {request.placement}; at "
            f"most {request.max_anchor_tokens} image tokens a picture",
            "seconds": ", ".join(f"{seconds:.2f} between {what}s" for what, seconds in budgets[0].spacing.items()),
        }
    )
    if request.times != "none" and budgets[0].full.times is not None:
        console.print(f"The full prompt has {budgets[0].full.times} text tokens for times.")
    rows = []
    for one in budgets:
        costs = {"full": one.full, "anchors only": one.anchors_only, "dense": one.dense}
        for name, cost in costs.items():
            numbers = (cost.frames, cost.text, cost.image, cost.motion, cost.total, cost.positions)
            cells = ("" if number is None else f"{number:,}" for number in numbers)
            rows.append((one.host, name, *cells, f"{cost.total / one.dense.total:.1%}"))
    names = ("frames", "text", "image", "motion", "total", "positions", "of dense")
    print_table([Column("host", text=True), Column("prompt", text=True, whole=True), *map(Column, names)], rows)
    if budgets[0].full.text is None:
        console.print("Text tokens are not counted, because they depend on each host's tokenizer.")


def show_training(name: str, *, base: str | None, changes: dict[str, str], devices: int, as_json: bool) -> None:
    """Print what each stage of a recipe takes of a device's memory."""
    quieten()
    from himmel.training.memory import plan_memory
    from himmel.training.resolve import resolve_recipe

    recipe = resolve_recipe(name, base=base, overrides=changes).recipe
    with working("Counting"):
        stages = plan_memory(recipe, devices=devices)
    if as_json:
        print_json(
            [{**asdict(stage), "totals": {way: one.total for way, one in stage.ways.items()}} for stage in stages]
        )
        return
    print_rows({"recipe": f"{recipe.name} on {recipe.base}", "host": recipe.host, "devices": f"{devices:,}"})
    for stage in stages:
        print_memory(stage)
    console.print(
        "\nGB (1e9 bytes) on each device. Weights, gradients and optimizer are counted. Activations and workspace are "
        "a formula: the totals were within a seventh of what one H100 took for Qwen2.5-VL-7B."
    )


def print_memory(stage: "StageMemory") -> None:
    """Print a stage's memory as the recipe says, and with one thing changed."""
    prompt = f", prompts of {stage.tokens:,} tokens" if stage.tokens else ""
    videos = "1 video" if stage.videos == 1 else f"{stage.videos} videos"
    console.print(f"\n{stage.kind}: micro-steps of {videos}{prompt}")
    columns = [Column("", text=True, whole=True)]
    columns += map(Column, ("weights", "gradients", "optimizer", "buffers", "activations", "workspace", "total"))
    rows = [
        (way, *(f"{size / 1e9:.2f}" for size in (*asdict(one).values(), one.total))) for way, one in stage.ways.items()
    ]
    print_table(columns, rows)
