"""`himmel ask`: a question about a video, answered."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape

from himmel._checks import check_options, check_question
from himmel._progress import working
from himmel.choices import (
    AnchorMode,
    Backend,
    MethodName,
    PlacementName,
)
from himmel.cli.checks import check_picture
from himmel.cli.console import Column, console, list_seconds, print_json, print_rows, print_table, quieten
from himmel.cli.options import (
    Accumulate,
    Adapter,
    AnswerFormChoice,
    Device,
    DeviceMapChoice,
    Frames,
    FurtherOptions,
    HostChoice,
    Json,
    Keep,
    ListingChoice,
    MethodChoice,
    Picture,
    QuantizationChoice,
    ScoringChoice,
    Seed,
    Threads,
    TimesChoice,
    VideoFile,
    method_options,
)
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING, DEFAULT_SCORING

if TYPE_CHECKING:
    from himmel.methods.answer import AnchorRead, Answer


def ask(
    video: VideoFile,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.", show_default=False)],
    choice: Annotated[
        list[str] | None,
        typer.Option(help="A possible answer. Give two or more, and the likeliest is the answer."),
    ] = None,
    method: MethodChoice = "himmel",
    host: HostChoice = None,
    adapter: Adapter = None,
    frames: Frames = None,
    keep: Keep = None,
    option: FurtherOptions = None,
    anchors: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many frames the vision tower sees. Default: as trained.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=128, help="How many moments to read per interval. Default: as trained.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, max=256, help="Motion tokens per interval. Default: as trained.")
    ] = None,
    anchor_mode: Annotated[
        AnchorMode | None,
        typer.Option(
            help="Anchors at keyframes (cheap), at exactly even times, or where scenes begin. Default: as trained."
        ),
    ] = None,
    placement: Annotated[
        PlacementName | None, typer.Option(help="Where motion tokens go in the prompt. Default: as trained.")
    ] = None,
    times: TimesChoice = None,
    backend: Annotated[
        Backend | None,
        typer.Option(help="Where motion comes from; `himmel streams --help` has more. Default: auto."),
    ] = None,
    accumulate: Accumulate = None,
    scoring: ScoringChoice = DEFAULT_SCORING,
    listing: ListingChoice = DEFAULT_LISTING,
    answer_form: AnswerFormChoice = DEFAULT_ANSWER_FORM,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Most tokens in the answer.")] = 64,
    seed: Seed = 0,
    threads: Threads = None,
    device: Device = None,
    device_map: DeviceMapChoice = None,
    quantization: QuantizationChoice = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Answer QUESTION about VIDEO, and say what was read for the answer."""
    check_question(question)
    check_options(choice or [])
    check_picture(picture)
    options = method_options(
        frames,
        keep,
        option,
        num_anchors=anchors,
        steps_per_interval=steps,
        tokens_per_interval=tokens,
        anchor_mode=anchor_mode,
        placement=placement,
        times=times,
        backend=backend,
        accumulate=accumulate,
    )
    from himmel.video import Video

    # Before the model's libraries, which take seconds to load: a file that is not a video is refused at once.
    opened = Video(video)
    quieten()
    from himmel.methods.ask import ask as ask_model

    with working("Reading the video and asking the model"):
        answer = ask_model(
            opened,
            question,
            method=cast(MethodName, method),
            host=host,
            adapter=adapter,
            choices=choice or [],
            scoring=scoring,
            listing=listing,
            answer_form=answer_form,
            max_new_tokens=max_new_tokens,
            seed=seed,
            threads=threads,
            device=device,
            device_map=device_map,
            quantization=quantization,
            picture=picture,
            **options,
        )
    if as_json:
        print_json(asdict(answer))
    else:
        print_answer(answer)


def print_answer(answer: "Answer") -> None:
    """Print an answer and what was read to give it."""
    console.print(f"[bold]{escape(answer.text)}[/bold]")
    if answer.choices:
        scores = [(choice.text, f"{choice.probability:.3f}") for choice in answer.choices]
        print_table([Column("option", text=True), Column("probability")], scores)
    video, tokens, removed = answer.video, answer.tokens, answer.removed
    steps = sum(len(interval.frames) for interval in video.intervals)
    kinds = ", ".join(f"{count} {kind}" for kind, count in tokens.items())
    rows = {
        "method": answer.method,
        "video": f"{video.path}: {video.codec}, {video.width} x {video.height}, {video.duration:.2f} s, "
        f"{video.num_frames} pictures at {video.average_rate:.2f} a second",
    }
    if video.intervals:
        rows |= {
            "backend": f"{video.backend} ({video.backend_reason}); residual {video.residual_kind}"
            + (", accumulated" if video.accumulated else ""),
            "anchors": f"{len(video.anchors)}: {', '.join(map(_show_anchor, video.anchors))}",
            "intervals": f"{len(video.intervals)} with {steps} steps, {video.num_vectors:,} motion vectors read",
        }
    else:
        rows["frames"] = f"{len(video.anchors)}: {', '.join(map(_show_anchor, video.anchors))}"
    rows["prompt"] = f"{sum(tokens.values())} tokens: {kinds}"
    if removed is not None:
        merged = f", {removed.merged} of the others merged into them" if removed.merged else ""
        rows["kept"] = f"{removed.after} of {removed.before} {removed.unit}{merged}"
    rows |= {
        "seconds": f"{list_seconds(answer.seconds)}; first token after {answer.first_token:.2f}",
        "memory": f"{answer.peak_memory / 1e6:,.0f} MB at most",
        "note": "\n".join(answer.notes),
    }
    print_rows(rows)


def _show_anchor(anchor: "AnchorRead") -> str:
    marks = ["keyframe"] if anchor.keyframe else []
    marks += {"uniform": [], "start": ["start"], "coverage": ["coverage"]}.get(anchor.reason, ["new scene"])
    return f"frame {anchor.frame} at {anchor.time:.2f} s" + (f" ({', '.join(marks)})" if marks else "")
