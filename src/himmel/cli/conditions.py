"""`himmel eval conditions`: frames, motion and residual as pictures for any model."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args

import typer
from rich.markup import escape

from himmel._text import by_number
from himmel.choices import Backend, DeviceMap, Interleaving, MethodName, Quantization
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
from himmel.cli.checks import check_picture
from himmel.cli.console import Column, console, print_json, print_table, quieten
from himmel.cli.evaluate_runs import find_questions
from himmel.cli.options import Json, Seed, Threads, refuse_empty, repeatable
from himmel.errors import UsageError

if TYPE_CHECKING:
    from himmel.evaluation.runs.compare import Pair
    from himmel.evaluation.study import Asking, Study, StudyRun
    from himmel.video import Video

_HOST: Final = "Who is asked: a local host"

Conditions = Annotated[list[str] | None, repeatable(Interleaving, "Which streams are shown. Default: all five.")]
LongestSide = Annotated[int, typer.Option(min=28, max=8192, help="Most pixels along the longer side of each picture.")]
Host = Annotated[
    str | None,
    typer.Option(callback=refuse_empty, help="Folder or repository name of a host.", rich_help_panel=_HOST),
]
Generate = Annotated[
    bool,
    typer.Option(
        "--generate", help="Let it write its answer, as an API does, and score no options.", rich_help_panel=_HOST
    ),
]
Batch = Annotated[int, typer.Option(min=1, max=1024, help="Questions asked at once.", rich_help_panel=_HOST)]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1 or mps. Default: the first GPU, or the CPU.", rich_help_panel=_HOST),
]
Spread = Annotated[
    DeviceMap | None,
    typer.Option(help="Spread a large host over several devices; excludes --device.", rich_help_panel=_HOST),
]
Packed = Annotated[
    Quantization | None, typer.Option(help="Pack the host's weights into 4 bits; needs a GPU.", rich_help_panel=_HOST)
]


def eval_conditions(
    benchmark: Annotated[
        str, typer.Argument(metavar="BENCHMARK", help="Its name, or a .jsonl, .json or .parquet file of questions.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="RUNS", help="Folder for the runs. Interrupted ones continue.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that the benchmark was downloaded to; not for a file of questions."),
    ] = None,
    condition: Conditions = None,
    method: Annotated[
        list[str] | None, repeatable(MethodName, "Another method to ask by, beside or in place of conditions.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the benchmark. Default: the usual one.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask the first so many questions alone.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out questions whose videos are not there.")
    ] = False,
    subtitles: Annotated[
        bool, typer.Option("--subtitles/--no-subtitles", help="Whether subtitles go before the question.")
    ] = False,
    longest_side: LongestSide = 768,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, max=2**20, help="Most tokens in a written answer. Default: 1024 by an API, else the benchmark's."
        ),
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the conditions of the first video into this file, a strip for each.")
    ] = None,
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
    host: Host = None,
    generate: Generate = False,
    batch: Batch = 1,
    device: Device = None,
    device_map: Spread = None,
    quantization: Packed = None,
    as_json: Json = False,
) -> None:
    """Show the questions' videos as frames, motion maps and residual maps in five ways, and compare the answers.

    A: 8 frames. B: 4 frames, each followed by a motion map. C: a frame, 3 motion maps, a frame, 3 residual maps. D: 8
    motion maps. E: 8 residual maps. Each condition is a run of its own in the folder RUNS.
    """
    check_picture(picture)
    if (host is None) == (model is None):
        what = "Nobody is asked" if host is None else f"Both the host {host!r} and the API's model {model!r} are named"
        raise UsageError(f"{what}; name a local host with --host, or a model of an API with --model.")
    prices = read_prices(price_in, price_out, most_cost)
    from himmel.evaluation.study import Asking, choose_methods, raise_if_stopped, study_by_host

    methods = choose_methods(condition or [], method or [], longest_side=longest_side)
    found, items, folder = find_questions(benchmark, data, split, limit, allow_missing=allow_missing)
    name = Path(benchmark).name if found.name == "file" and data is None else benchmark
    asking = Asking(found, items, name, folder, output)
    if picture is not None:
        _draw_first(asking, condition or get_args(Interleaving), picture, longest_side)
    quieten()
    if model is not None:
        from himmel.evaluation.api.run import ApiAsker
        from himmel.evaluation.api.study import study_by_api

        settings, key = read_settings(
            url=api,
            key_variable=key_variable,
            model=model,
            max_new_tokens=max_new_tokens or 1024,
            seed=seed,
            temperature=temperature,
            seconds=seconds,
            retries=retries,
        )
        by_api = ApiAsker(
            settings=settings,
            key=key,
            method=next(iter(methods.values())),
            prices=prices,
            limit=most_cost,
            longest_side=longest_side,
            at_once=at_once,
            subtitles=subtitles,
            threads=threads,
        )
        study = study_by_api(asking, methods, by_api)
    else:
        from himmel.evaluation.runs.posing import Posing
        from himmel.evaluation.runs.runner import Asker
        from himmel.methods.session import Session

        session = Session(
            host=host, device=device, device_map=device_map, quantization=quantization, prompt_cache_bytes=0
        )
        by_host = Asker(session=session, method=next(iter(methods.values())), host=host, batch=batch, threads=threads)
        posing = Posing(generate=generate, subtitles=subtitles, max_new_tokens=max_new_tokens, seed=seed)
        study = study_by_host(asking, methods, by_host, posing=posing)
    if as_json:
        print_json(study.to_json())
    else:
        print_study(study)
    raise_if_stopped(study)


def draw_conditions(
    video: "Video",
    conditions: Sequence[str],
    path: Path,
    *,
    title: str,
    longest_side: int = 768,
    start: float = 0.0,
    end: float | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> dict[str, Any]:
    """Draw what conditions show of a stretch of an open video, and tell what was drawn."""
    from himmel.methods.conditions.show import decompose, draw
    from himmel.methods.conditions.strips import draw_strips

    part = video.between(start, end)
    asked = [cast(Interleaving, one) for one in conditions]
    read = [decompose(part, one, longest=longest_side, backend=backend, threads=threads) for one in asked]
    shown = [draw(found, one, longest=longest_side) for found, one in zip(read, asked, strict=True)]
    draw_strips(shown, path, title=title, begin=part.start - video.start)
    notes = list(dict.fromkeys(note for one in shown for note in one.notes))
    drawn = f"what {by_number(len(asked), '{} condition shows', '{} conditions show')}"
    return {"drawn": drawn, "backend": read[0].backend, "notes": notes}


def print_study(study: "Study") -> None:
    """Print the runs side by side, with the paired test of the first against each of the others."""
    names = ("right, %", "95 % interval", "asked", "no answer", "difference, %", "p, Holm", "prompt tokens", "cost")
    pairs = {pair.second: pair for pair in study.pairs}
    rows = [_row(name, run, pairs.get(run.folder.name)) for name, run in study.runs.items()]
    print_table([Column("run", text=True), Column("shown", text=True), *map(Column, names)], rows)
    if study.pairs:
        clustered = any(pair.decides == "cluster" for pair in study.pairs)
        by = "exchanging all answers about a video at once" if clustered else "McNemar's test"
        console.print(
            f"Differences are from {study.pairs[0].first}; p by {by}, corrected for {len(study.pairs)} tests."
        )
    for name, run in study.runs.items():
        if run.cut:
            cut = by_number(run.cut, "{} answer was", "{} answers were")
            console.print(f"{name}: {cut} cut at the limit of tokens; --max-new-tokens raises it.")
        if run.summary is not None and run.summary.failed:
            failed = by_number(len(run.summary.failed), "{} question", "{} questions")
            first = next(iter(run.summary.failed.items()))
            console.print(
                escape(f"{name}: {failed} could not be asked, counted as wrong, the first {first[0]}: {first[1]}")
            )


def _row(name: str, run: "StudyRun", pair: "Pair | None") -> tuple[str, ...]:
    from himmel.evaluation.api.money import show_cost
    from himmel.methods.conditions.layout import LAYOUTS

    shown = next((layout.summary for known, layout in LAYOUTS.items() if known == name), "")
    cost = "" if run.cost is None else show_cost(run.cost)
    if run.summary is None:
        return name, shown, "", "", str(len(run.rows)), str(len(run.unanswered)), "", "", "", cost
    cell, costs = run.summary.overall, run.summary.costs
    tokens = {} if costs is None else costs.tokens
    prompt = sum(count for kind, count in tokens.items() if kind != "answer")
    return (
        name,
        shown,
        f"{100 * cell.accuracy.share:.1f}",
        f"[{100 * cell.interval.low:.1f}, {100 * cell.interval.high:.1f}]",
        str(cell.accuracy.total),
        str(run.summary.unread),
        "" if pair is None else f"{100 * pair.difference:+.1f}",
        "" if pair is None else f"{pair.p_value:.2g}",
        f"{prompt:.0f}" if prompt else "",
        cost,
    )


def _draw_first(asking: "Asking", conditions: Sequence[str], path: Path, longest_side: int) -> None:
    """Strips of the first video among the items."""
    from PIL.Image import Image

    from himmel.evaluation.runs.media import open_media
    from himmel.video import Video

    item = next((item for item in asking.items if item.kind != "image"), None)
    if item is None:
        raise UsageError(f"{asking.name!r} asks about single pictures, which have no streams to draw; leave --picture.")
    with TemporaryDirectory(prefix="himmel-eval-") as scratch:
        media = open_media(item, Path(scratch))
        assert not isinstance(media, Image)
        video = media if isinstance(media, Video) else Video(media)
        draw_conditions(video, conditions, path, title=item.media, longest_side=longest_side)
