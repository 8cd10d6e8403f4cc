"""`himmel report`: every table and figure from the results that are there, and an index of what is missing."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from himmel._files import atomic_path
from himmel._text import by_number
from himmel.errors import HimmelError
from himmel.evaluation.report.cells import Summarised, grouped, summarise_all
from himmel.evaluation.report.collect import Document, Results, collect, collect_training
from himmel.evaluation.report.figures.accuracy import against_frames, against_tokens, by_group, has_frames
from himmel.evaluation.report.figures.clips import check_clips, draw_clips, no_clips
from himmel.evaluation.report.figures.curves import alignment_curves, answer_curves
from himmel.evaluation.report.figures.drawings import draw_model, draw_stages
from himmel.evaluation.report.figures.signals import gate_map, quantisers, sensitivity
from himmel.evaluation.report.figures.style import save_figure
from himmel.evaluation.report.table import Table, to_latex, to_markdown
from himmel.evaluation.report.tables import all_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        folder: with `index.md`, `tables.md`, a .md and a .tex file for each table, a .png and a .svg for each figure.
        runs: how many runs the tables are from.
        partial: folders of runs that lack answers, which are in no table.
        empty: names of tables for which there is no result.
        figures: names of all figures.
    """

    folder: Path
    runs: int
    partial: tuple[Path, ...]
    empty: tuple[str, ...]
    figures: tuple[str, ...]


def write_report(places: Sequence[Path], folder: Path, *, clips: Sequence[Path] = ()) -> Report:
    """Rebuild the report's tables and figures.

    Args:
        places: folders with results, looked through with all that is in them, or single files; see `collect`.
        folder: where to; made if it is not there, and files of an earlier report are replaced.
        clips: videos for case studies: of each, its streams and what the five conditions show.

    Raises:
        UsageError: a place is not there, or holds no result; two clips have the same name.
        HimmelError: a run is damaged, or the folder can't be written.
        VideoError: a clip can't be read.
    """
    check_clips(clips)
    results = collect(places)
    runs = summarise_all(results.runs)
    tables = all_tables(results, runs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in tables:
            _write(folder / f"{table.name}.md", to_markdown(table))
            _write(folder / f"{table.name}.tex", to_latex(table))
        names = [save_figure(name, figure, folder) for name, figure in all_figures(results, runs)]
        names += draw_clips(clips, folder) if clips else [save_figure("figure-34-strips", no_clips(), folder)]
        report = Report(
            folder=folder,
            runs=len(results.runs),
            partial=results.partial,
            empty=tuple(table.name for table in tables if table.is_missing),
            figures=tuple(names),
        )
        _write(folder / "index.md", _index(report, tables))
    except OSError as error:
        raise HimmelError(
            f"The report cannot be written into {str(folder)!r} ({error.strerror}); name a folder that you may write."
        ) from error
    return report


def all_figures(results: Results, runs: Sequence[Summarised]) -> "Iterator[tuple[str, Figure]]":
    """Each figure with the name of its files; those without results say what is missing."""
    yield "figure-01-model", draw_model()
    yield "figure-03-stages", draw_stages()
    sets = grouped(runs, lambda one: one.questions)
    yield from _by_questions("figure-33-tokens", sets, against_tokens)
    yield from _by_questions(
        "figure-08-frames", {name: of for name, of in sets.items() if has_frames(of)}, against_frames
    )
    for letter, group in (("j", "duration"), ("k", "category")):
        with_group = {name: of for name, of in sets.items() if any(one.summary.by.get(group) for one in of)}
        yield from _by_questions(f"figure-{letter}-{group}", with_group, partial(by_group, group=group))
    yield from training_figures(results.training)
    yield "figure-i9-sensitivity", sensitivity(runs)
    yield "figure-30-quantisers", quantisers(results.rungs, runs)
    yield "figure-32-gates", gate_map(results.motion)


def _by_questions(
    name: str, sets: Mapping[str, Sequence[Summarised]], draw: "Callable[[Sequence[Summarised]], Figure]"
) -> "Iterator[tuple[str, Figure]]":
    """The same figure for each set of questions; one that says what is missing where there is none."""
    if not sets:
        yield name, draw(())
    for questions, runs in sets.items():
        end = "-".join(re.findall(r"[a-z0-9]+", questions.lower().replace(",", "")))
        yield f"{name}-{end}", draw(runs)


def training_figures(training: Sequence[Document]) -> "Iterator[tuple[str, Figure]]":
    """The two figures of appendix E, which is about stage 2 first."""
    yield "figure-05-stage-2", answer_curves(training)
    yield "figure-06-stage-1", alignment_curves(training)


def plot_training(places: Sequence[Path], folder: Path) -> tuple[str, ...]:
    """Draw the figures of training alone.

    Args:
        places: folders of stages that `himmel train` writes, done or under way, or folders of such.
        folder: where to; made if it is not there.

    Returns:
        Names of the files, without ending.

    Raises:
        UsageError: a place is not there, or no training has written a log in any of them.
        HimmelError: the folder can't be written.
    """
    training = collect_training(places)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(save_figure(name, figure, folder) for name, figure in training_figures(training))
    except OSError as error:
        raise HimmelError(
            f"The figures cannot be written into {str(folder)!r} ({error.strerror}); name a folder that you may write."
        ) from error


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as file:
        file.write_text(text, encoding="utf-8")


def _index(report: Report, tables: Sequence[Table]) -> str:
    lines = [
        "# Tables and figures",
        "",
        f"From {by_number(report.runs, '{} run', '{} runs')}. Every figure is a .svg too, every table a .tex.",
        "",
    ]
    if report.partial:
        shown = ", ".join(f"`{folder}`" for folder in report.partial)
        lines += [f"Not in any table, as answers are missing (run the same `himmel eval` again): {shown}", ""]
    for table in tables:
        lines += [to_markdown(table), ""]
    for name in report.figures:
        lines += [f"![{name}]({name}.png)", ""]
    return "\n".join(lines).rstrip() + "\n"
