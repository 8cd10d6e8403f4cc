"""`himmel eval BENCHMARK` and `himmel eval compare`: runs, and runs side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from himmel.cli.console import print_json, quieten
from himmel.cli.options import (
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
    QuantizationChoice,
    ScoringChoice,
    Seed,
    Threads,
    TimesChoice,
    method_options,
)
from himmel.cli.run_tables import print_comparison, print_run
from himmel.errors import HimmelError, UsageError
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING

if TYPE_CHECKING:
    from himmel.evaluation.items import Benchmark, Item

_FILES = (".jsonl", ".json", ".parquet")


def eval_benchmark(
    context: typer.Context,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUN", help="Folder of the run. An interrupted one continues.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that the benchmark was downloaded to; not for a file of questions."),
    ] = None,
    method: MethodChoice = "himmel",
    host: HostChoice = None,
    adapter: Adapter = None,
    frames: Frames = None,
    keep: Keep = None,
    times: TimesChoice = None,
    option: FurtherOptions = None,
    split: Annotated[str | None, typer.Option(help="Split of the benchmark. Default: the usual one.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first so many questions alone.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out questions whose videos are not there.")
    ] = False,
    scoring: ScoringChoice = None,
    listing: ListingChoice = DEFAULT_LISTING,
    answer_form: AnswerFormChoice = DEFAULT_ANSWER_FORM,
    generate: Annotated[
        bool,
        typer.Option("--generate", help="Let the model write its answer, by the benchmark's prompt and rules."),
    ] = False,
    subtitles: Annotated[
        bool, typer.Option("--subtitles/--no-subtitles", help="Whether subtitles go before the question.")
    ] = False,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Most tokens in a written answer. Default: the benchmark's.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=1024, help="Questions asked at once. Times per question are exact with 1.")
    ] = 1,
    seed: Seed = 0,
    threads: Threads = None,
    device: Device = None,
    device_map: DeviceMapChoice = None,
    quantization: QuantizationChoice = None,
    as_json: Json = False,
) -> None:
    """Ask the questions of BENCHMARK: a name such as video_mme, or a .jsonl, .json or .parquet file."""
    options = method_options(frames, keep, option, times=times)
    name = str(context.info_name)
    from himmel.evaluation.runs.posing import Posing
    from himmel.methods.choice import build

    chosen = build(method, **options)
    posing = Posing(
        scoring=scoring,
        listing=listing,
        answer_form=answer_form,
        generate=generate,
        subtitles=subtitles,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    benchmark, items, folder = find_questions(name, data, split, limit, allow_missing=allow_missing)
    quieten()
    from himmel.evaluation.runs.runner import Asker, run_benchmark
    from himmel.methods.session import Session

    session = Session(
        adapter=adapter,
        host=host,
        device=device,
        device_map=device_map,
        quantization=quantization,
        # What was asked before must not show in any digit of a result.
        prompt_cache_bytes=0,
    )
    asker = Asker(
        session=session,
        method=chosen,
        host=host,
        adapter=None if adapter is None else str(adapter),
        batch=batch,
        threads=threads,
    )
    summary = run_benchmark(
        benchmark,
        items,
        name=Path(name).name if benchmark.name == "file" and data is None else name,
        data=folder,
        folder=output,
        asker=asker,
        posing=posing,
    )
    if as_json:
        print_json({"run": str(output), **summary.to_json()})
    else:
        print_run(output, summary)


def eval_compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Folders of runs on the same questions.")],
    as_json: Json = False,
) -> None:
    """Put runs side by side, and test the first against each of the others on the same questions."""
    from himmel.evaluation.runs.compare import compare_folders

    comparison = compare_folders(runs)
    if as_json:
        print_json(comparison.to_json())
    else:
        print_comparison(comparison)


def find_questions(
    name: str, data: Path | None, split: str | None, limit: int | None, *, allow_missing: bool
) -> "tuple[Benchmark, list[Item], Path]":
    """A benchmark by its name or file, what it asks, and the folder of its media.

    Raises:
        UsageError: there is no such benchmark, or its folder was not named.
        HimmelError: the folder, questions or media are missing.
    """
    from himmel.evaluation.benchmarks import benchmark
    from himmel.evaluation.items import check_media

    if Path(name).suffix.lower() in _FILES:
        found, place = benchmark("file"), Path(name)
        if data is not None:
            raise UsageError(f"--data {str(data)!r} is not for a file of questions, whose media are beside it.")
    else:
        found = benchmark(name)
        if data is None:
            raise UsageError(f"The benchmark {name!r} needs the folder it was downloaded to; name it with --data.")
        if not data.is_dir():
            raise HimmelError(f"The folder {str(data)!r} is not there; name the one that {name!r} was downloaded to.")
        place = data
    items = found.load(place, split=split)[:limit]
    there = check_media(items, allow_missing=allow_missing, warn=lambda said: typer.echo(f"himmel: {said}", err=True))
    return found, there, place.parent if place.is_file() else place
