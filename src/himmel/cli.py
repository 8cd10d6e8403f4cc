"""The command line: one command, a verb per job. Everything heavy is imported inside the verb that needs it."""

import contextlib
import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer

import himmel
from himmel._install import missing_package
from himmel.cli_budget import budget
from himmel.cli_deploy import card, merge, push
from himmel.cli_params import params
from himmel.cli_recipe import recipe_app, train
from himmel.errors import HimmelError, UsageError

app = typer.Typer(
    name="himmel",
    help="Ask a video: motion is read from what the file already stores, not from every frame.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
nano_app = typer.Typer(no_args_is_help=True, help="The embedded default host and a clip to try it on.")
eval_app = typer.Typer(no_args_is_help=True, help="Benchmarks.")
app.command()(params)
app.command()(budget)
app.command()(train)
app.command()(merge)
app.command()(card)
app.command()(push)
app.add_typer(recipe_app, name="recipe")
app.add_typer(nano_app, name="nano")
app.add_typer(eval_app, name="eval")

AnchorMode = Annotated[
    str,
    typer.Option(
        help="keyframe: cheap, at the nearest keyframe. exact: where time asks for. scene: where scenes begin, by bits."
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        help="auto, bitstream (H.264 parsed, not decoded), libav (FFmpeg's vectors), coviar (MPEG-4) or proxy (flow)."
    ),
]
Accumulate = Annotated[
    bool, typer.Option("--accumulate", help="Trace motion and residual back to each interval's anchor (CoViAR).")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
NumAnchors = Annotated[int, typer.Option("--anchors", min=1, max=64, help="Frames that the vision tower sees.")]
Picture = Annotated[Path | None, typer.Option(help="Draw anchors, motion and residual into this PNG file.")]
Steps = Annotated[int, typer.Option("--steps", min=1, max=128, help="Moments read in each interval.")]
Threads = Annotated[int | None, typer.Option(min=1, max=256, help="Processor threads.")]
VideoFile = Annotated[Path, typer.Argument(metavar="VIDEO", help="A video file.", show_default=False)]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"himmel {himmel.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    # Both options are read elsewhere: --version by its callback, --debug by `main`, which outlives this call.
    del version, debug


@app.command()
def ask(
    video: VideoFile,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.", show_default=False)],
    host: Annotated[str | None, typer.Option(help="Folder of another host than the adapter's own.")] = None,
    adapter: Annotated[Path | None, typer.Option(help="Checkpoint folder; default: the one in the package.")] = None,
    anchors: Annotated[
        int | None, typer.Option(min=1, max=64, help="Frames that the vision tower sees; default: as trained.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, max=128, help="Moments read in each interval; default: as trained.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, max=256, help="Motion tokens per interval; default: all that were trained.")
    ] = None,
    anchor_mode: Annotated[
        str | None,
        typer.Option(
            help="keyframe (cheap), exact (where time asks for) or scene (where scenes begin); default: as trained."
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            help="per_anchor, prefix, suffix, chunked or attention: where motion tokens stand; default: as trained."
        ),
    ] = None,
    backend: Backend = "auto",
    accumulate: Annotated[
        bool | None,
        typer.Option("--accumulate/--no-accumulate", help="Maps that go back to the anchor; default: as trained."),
    ] = None,
    choice: Annotated[
        list[str] | None, typer.Option(help="An option to score by its likelihood; repeat for each.")
    ] = None,
    motion: Annotated[bool, typer.Option("--motion/--no-motion", help="Whether the model sees motion tokens.")] = True,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=4096, help="Longest answer, in tokens.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of whatever is drawn at random.")] = 0,
    threads: Threads = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; default: a GPU if there is one.")] = None,
    device_map: Annotated[
        str | None, typer.Option(help="auto: spread a large host over all devices, in place of --device.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="4bit: pack the host's weights; needs a GPU.")] = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Answer QUESTION about VIDEO, and say what was read to answer it."""
    _check_question(question, choice or [])
    _check_writable(picture)
    from himmel import _report
    from himmel.video import Video

    # Before the model's libraries, which take seconds to load: a file that is no video is found out at once.
    opened = Video(video)
    _quieten()
    from himmel.model.asking import ask as ask_model

    with _report.progress("Reading the video and asking the model", quiet=as_json):
        answer = ask_model(
            opened,
            question,
            host=host,
            adapter=adapter,
            num_anchors=anchors,
            steps_per_interval=steps,
            tokens_per_interval=tokens,
            anchor_mode=anchor_mode,
            placement=placement,
            backend=backend,
            accumulate=accumulate,
            choices=choice or [],
            motion=motion,
            max_new_tokens=max_new_tokens,
            seed=seed,
            threads=threads,
            device=device,
            device_map=device_map,
            quantization=cast(Any, quantization),
            picture=picture,
        )
    if as_json:
        _print_json(asdict(answer))
    else:
        _report.print_answer(answer)


@app.command()
def streams(
    video: VideoFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the .npz file goes.", show_default=False)],
    anchors: NumAnchors = 8,
    steps: Steps = 16,
    anchor_mode: AnchorMode = "keyframe",
    backend: Backend = "auto",
    accumulate: Accumulate = False,
    cell: Annotated[int | None, typer.Option(help="Side of a cell in pixels: 4, 8, 16, 32 or 64.")] = None,
    rgb_difference: Annotated[
        bool,
        typer.Option("--rgb-difference", help="Also decode the steps: their change since the picture before."),
    ] = False,
    threads: Threads = None,
    picture: Picture = None,
    as_json: Json = False,
) -> None:
    """Write a video's motion and residual maps, and their times, as arrays; needs no model."""
    if output.suffix != ".npz":
        raise UsageError(f"Output {str(output)!r} does not end in .npz; the streams are written as a NumPy archive.")
    _check_writable(output)
    _check_writable(picture)
    from himmel import _report
    from himmel.video import Video, draw_streams, save_streams

    # Accumulation reads every picture, and the backend coviar may encode them all first.
    with _report.progress("Reading the video", quiet=as_json):
        decomposition = Video(video).decompose(
            num_anchors=anchors,
            anchor_mode=anchor_mode,
            steps_per_interval=steps,
            cell=cell,
            backend=backend,
            accumulate=accumulate,
            threads=threads,
            rgb_difference=rgb_difference,
        )
    save_streams(decomposition, output)
    if picture is not None:
        draw_streams(decomposition, picture)
    summary = _report.summarise_streams(decomposition, output=output, picture=picture)
    if as_json:
        _print_json(summary)
    else:
        _report.print_streams(summary)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Find out what works on this machine: versions, codecs, backends, devices, cache."""
    from himmel import _report
    from himmel._doctor import diagnose

    with _report.progress("Trying each codec", quiet=as_json):
        diagnosis = diagnose()
    if as_json:
        _print_json(asdict(diagnosis))
    else:
        _report.print_diagnosis(diagnosis)


@eval_app.command("motion")
def eval_motion(
    adapter: Annotated[Path | None, typer.Option(help="Checkpoint folder; default: the one in the package.")] = None,
    clips: Annotated[int, typer.Option(min=1, max=1_000_000, help="Clips to render.")] = 400,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the first clip; default: the first kept for this.")
    ] = None,
    questions: Annotated[int, typer.Option(min=1, max=64, help="Most questions for each clip.")] = 2,
    condition: Annotated[
        list[str] | None, typer.Option(help="motion, no-motion, shuffled or text; repeatable; default: all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the results here as JSON; a run goes on from there.")
    ] = None,
    gates: Annotated[bool, typer.Option("--gates", help="Also print how the fusion weighed the streams.")] = False,
    as_json: Json = False,
) -> None:
    """Ask about freshly rendered clips: with motion tokens, without, with another clip's, and by text alone."""
    _check_writable(output)
    from himmel import _report
    from himmel.evaluation.motion import CONDITIONS, Condition, run_motion_benchmark
    from himmel.model.asking import default_checkpoint
    from himmel.nano.clips import FIRST_EVAL_SEED

    _quieten()
    # Progress goes to stderr, so that stdout holds the result alone.
    with contextlib.redirect_stdout(sys.stderr):
        result = run_motion_benchmark(
            adapter or default_checkpoint(),
            num_clips=clips,
            seed=FIRST_EVAL_SEED if seed is None else seed,
            questions_per_clip=questions,
            # Names that are no condition are refused there.
            conditions=cast("list[Condition]", condition) if condition else CONDITIONS,
            output=output,
        )
    if as_json:
        _print_json({**asdict(result), "summary": result.summary.to_json()})
    else:
        _report.print_motion(result)
        if gates:
            _report.print_gates(result.gates)


@nano_app.command("get")
def nano_get(as_json: Json = False) -> None:
    """Fetch the default host's two packages, convert them once and keep them in the cache."""
    from himmel import _report
    from himmel._files import nano_host_folder
    from himmel.nano.assets import get_nano_host

    if not nano_host_folder().is_dir():
        _quieten()
    with _report.progress("Fetching and converting the default host", quiet=as_json):
        folder = get_nano_host()
    if as_json:
        _print_json({"host": str(folder)})
    else:
        typer.echo(f"The default host is in {folder}")


@nano_app.command("sample")
def nano_sample(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Where the clip goes.", show_default=False)],
    clip: Annotated[str, typer.Option(help="bikes, carphone or bigbuckbunny.")] = "bikes",
) -> None:
    """Copy a short real H.264 clip, taken from a package, to FILE."""
    _check_writable(output)
    import shutil

    from himmel._files import atomic_path
    from himmel.nano.assets import SampleClip, get_sample_clip

    # A name that is no clip is refused there.
    source = get_sample_clip(cast("SampleClip", clip))
    with atomic_path(output) as temporary:
        shutil.copyfile(source, temporary)
    typer.echo(f"The sample clip is in {output}")


def _check_question(question: str, choices: list[str]) -> None:
    if not question.strip():
        raise UsageError("The question is empty; ask something, for example 'What moves?'.")
    if any(not text.strip() for text in choices):
        raise UsageError("A --choice is empty; give each option a text.")
    if len(choices) == 1:
        raise UsageError(f"One --choice, {choices[0]!r}, leaves nothing to choose; give at least two.")
    if len(set(choices)) < len(choices):
        raise UsageError(f"The options {choices} repeat one; give each --choice once.")


def _check_writable(path: Path | None) -> None:
    """Refuse a place that nothing can be written to before any work is done for it."""
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder; name a file in it.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"Nothing can be written to {str(path.parent)!r}; name a folder that exists and is writable.")


def _quieten() -> None:
    """Keep transformers' progress bars and notices out of the answer."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # For processes that this one starts.
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command; whatever goes wrong becomes one sentence on stderr and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Only before the verb, where the option stands; behind it, the word may be part of a question.
    debug = arguments[:1] == ["--debug"]
    try:
        app(arguments, prog_name="himmel")
    except HimmelError as error:
        _fail(str(error), error.exit_code, debug=debug)
    except Exception as error:
        _fail(_sentence_about(error), 1, debug=debug)
    sys.exit(0)


def _sentence_about(error: Exception) -> str:
    missing = missing_package(error) if isinstance(error, ModuleNotFoundError) else None
    if missing is not None:
        return str(missing)
    sentence = f"unexpected {type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
    return f"{sentence}; please report it with what `himmel --debug ...` prints."


def _fail(sentence: str, exit_code: int, *, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    typer.echo(f"himmel: {sentence}", err=True)
    sys.exit(exit_code)
