"""`himmel report`: every table and figure from the results that are there, and an index of what is missing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from himmel._files import atomic_path
from himmel.errors import HimmelError
from himmel.evaluation.report.collect import Results, collect
from himmel.evaluation.report.figures.accuracy import against_frames, against_tokens, by_group
from himmel.evaluation.report.figures.drawings import draw_model, draw_stages
from himmel.evaluation.report.figures.signals import gate_map, learning_curves, quantisers, sensitivity
from himmel.evaluation.report.table import Table, to_latex, to_markdown
from himmel.evaluation.report.tables import all_tables, summarise_all

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


def write_report(places: Sequence[Path], folder: Path) -> Report:
    """Rebuild the report's tables and figures.

    Args:
        places: folders with results, looked through with all that is in them, or single files; see `collect`.
        folder: where to; made if it is not there, and files of an earlier report are replaced.

    Raises:
        UsageError: a place is not there, or holds no result.
        HimmelError: a run is damaged, or the folder can't be written.
    """
    results = collect(places)
    tables = all_tables(results)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for table in tables:
            _write(folder / f"{table.name}.md", to_markdown(table))
            _write(folder / f"{table.name}.tex", to_latex(table))
        names = tuple(_save(name, figure, folder) for name, figure in all_figures(results))
        report = Report(
            folder=folder,
            runs=len(results.runs),
            partial=results.partial,
            empty=tuple(table.name for table in tables if not table.rows),
            figures=names,
        )
        _write(folder / "index.md", _index(report, tables))
    except OSError as error:
        raise HimmelError(
            f"The report cannot be written into {str(folder)!r} ({error.strerror}); name a folder that you may write."
        ) from error
    return report


def all_figures(results: Results) -> "Iterator[tuple[str, Figure]]":
    """Each figure with the name of its files; those without results say what is missing."""
    runs = summarise_all(results.runs)
    yield "figure-01-model", draw_model()
    yield "figure-03-stages", draw_stages()
    found: list[str | None] = [*sorted({one.run.header.benchmark for one in runs})]
    for benchmark in found or [None]:
        end = "" if benchmark is None else "-" + benchmark.replace("/", "-").replace("_", "-")
        yield f"figure-02-tokens{end}", against_tokens(runs, benchmark)
        yield f"figure-08-frames{end}", against_frames(runs, benchmark)
        yield f"figure-19-duration{end}", by_group(runs, benchmark, "duration")
        yield f"figure-20-category{end}", by_group(runs, benchmark, "category")
    yield "figure-05-training", learning_curves(results.training)
    yield "figure-31-sensitivity", sensitivity(runs)
    yield "figure-32-gates", gate_map(results.motion)
    yield "figure-quantisers", quantisers(results.rungs, runs)


def _save(name: str, figure: "Figure", folder: Path) -> str:
    from matplotlib import rc_context

    for suffix, metadata in ((".png", None), (".svg", {"Date": None})):
        # Names that follow from the content: the same results give the same bytes.
        with atomic_path(folder / (name + suffix)) as file, rc_context({"svg.hashsalt": "himmel"}):
            figure.savefig(file, metadata=metadata)
    return name


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as file:
        file.write_text(text, encoding="utf-8")


def _index(report: Report, tables: Sequence[Table]) -> str:
    lines = [
        "# Tables and figures",
        "",
        f"From {report.runs} runs. Every figure is a .svg too, every table a .tex.",
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
