"""`himmel ask`: a question about a video, answered."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape

from himmel._checks import check_options, check_question
from himmel._garbage import without_collections
from himmel._progress import working
from himmel.choices import (
    AnchorMode,
    Backend,
    MethodName,
    PlacementName,
)
from himmel.cli.checks import check_picture
from himmel.cli.console import Column, console, print_json, print_rows, print_table, quieten
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
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING

if TYPE_CHECKING:
    from himmel.methods.answer import Answer


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
    scoring: ScoringChoice = None,
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
    with without_collections():
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
    from himmel.methods.answer_view import answer_rows

    console.print(f"[bold]{escape(answer.text)}[/bold]")
    if answer.choices:
        scores = [(choice.text, f"{choice.probability:.3f}") for choice in answer.choices]
        print_table([Column("option", text=True), Column("probability")], scores)
    print_rows(answer_rows(answer))
