"""Results as a person reads them; the same results as JSON come from the dataclasses themselves."""

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from himmel._install import GET_ENGINE, NO_ENGINE, get_extra
from himmel._versions import ENGINE

if TYPE_CHECKING:
    from himmel._doctor import Diagnosis
    from himmel.adapter import ComponentCount
    from himmel.evaluation.gates import MeanShares
    from himmel.evaluation.motion import MotionResult
    from himmel.evaluation.statistics import Accuracy
    from himmel.model.asking import AnchorRead, Answer
    from himmel.model.budget import Budget
    from himmel.training.listing import ListedRecipe, ShownRecipe
    from himmel.training.recipe import ReportSection
    from himmel.video import Decomposition

_console = Console(highlight=False)
_errors = Console(stderr=True)


def progress(what: str, *, quiet: bool) -> AbstractContextManager[Any]:
    """A spinner on stderr while something takes its time; nothing where stderr is no terminal."""
    return nullcontext() if quiet or not _errors.is_terminal else _errors.status(f"{what} ...")


def print_answer(answer: "Answer") -> None:
    """Print an answer and what was read to give it."""
    _console.print(f"[bold]{escape(answer.text)}[/bold]")
    if answer.choices:
        table = _plain_table("option", "probability")
        for choice in answer.choices:
            table.add_row(escape(choice.text), f"{choice.probability:.3f}")
        _console.print(table)
    video, tokens = answer.video, answer.tokens
    kinds = ", ".join(f"{count} {kind}" for kind, count in tokens.items())
    vectors = f", {video.num_vectors:,} motion vectors read"
    steps = sum(len(interval.frames) for interval in video.intervals)
    rows = {
        "video": f"{video.path}: {video.codec}, {video.width} x {video.height}, {video.duration:.2f} s, "
        f"{video.num_frames} pictures at {video.average_rate:.2f} a second",
        "backend": f"{video.backend} ({video.backend_reason}); residual {video.residual_kind}"
        + (", accumulated" if video.accumulated else ""),
        "anchors": f"{len(video.anchors)}: {_list_anchors(video.anchors)}",
        "intervals": f"{len(video.intervals)} with {steps} steps{vectors}",
        "prompt": f"{sum(tokens.values())} tokens: {kinds}",
        "seconds": _list_seconds(answer.seconds),
        "memory": f"{answer.peak_memory / 1e6:,.0f} MB at the most",
    }
    _print_rows(rows | {"note": "\n".join(answer.notes)} if answer.notes else rows)


def summarise_streams(decomposition: "Decomposition", *, output: Path, picture: Path | None) -> dict[str, Any]:
    """What `himmel streams` says about the file it wrote, ready for JSON."""
    intervals = decomposition.intervals
    return {
        "video": decomposition.path,
        "codec": decomposition.codec,
        "width": decomposition.width,
        "height": decomposition.height,
        "duration": decomposition.duration,
        "num_frames": decomposition.num_frames,
        "average_rate": decomposition.average_rate,
        "backend": decomposition.backend,
        "backend_reason": decomposition.backend_reason,
        "residual_kind": decomposition.residual_kind,
        "distance_kind": decomposition.distance_kind,
        "accumulated": decomposition.accumulated,
        "cell": decomposition.cell,
        "grid": list(decomposition.grid),
        "anchors": [
            {"frame": a.frame, "time": a.time, "keyframe": a.keyframe, "reason": a.reason}
            for a in decomposition.anchors
        ],
        "intervals": [{"frames": i.frames.tolist(), "times": i.times.tolist()} for i in intervals],
        "num_vectors": decomposition.num_vectors,
        "notes": list(decomposition.notes),
        "seconds": decomposition.seconds,
        "output": str(output),
        "picture": None if picture is None else str(picture),
    }


def print_streams(summary: dict[str, Any]) -> None:
    """Print what `summarise_streams` found."""
    rows, columns = summary["grid"]
    steps = sum(len(interval["frames"]) for interval in summary["intervals"])
    shown = {
        "video": f"{summary['video']}: {summary['codec']}, {summary['width']} x {summary['height']}, "
        f"{summary['duration']:.2f} s, {summary['num_frames']} pictures",
        "backend": f"{summary['backend']} ({summary['backend_reason']}); residual {summary['residual_kind']}"
        + (", accumulated" if summary["accumulated"] else ""),
        "grid": f"{rows} rows x {columns} columns of {summary['cell']} x {summary['cell']} pixels",
        "anchors": str(len(summary["anchors"])),
        "intervals": f"{len(summary['intervals'])} with {steps} steps, {summary['num_vectors']:,} motion vectors read",
        "seconds": _list_seconds(summary["seconds"]),
        "written": "\n".join(name for name in (summary["output"], summary["picture"]) if name),
    }
    _print_rows(shown | {"note": "\n".join(summary["notes"])} if summary["notes"] else shown)


def print_parameters(tables: "dict[str, dict[str, list[ComponentCount]]]") -> None:
    """Print a table for each size: a row per component, a column per encoder, and the report's figures."""
    for size, by_encoder in tables.items():
        columns = list(by_encoder.values())
        # Every digit of one encoder, or as many encoders as fit on a line.
        show = "{:,}".format if len(columns) == 1 else _show_millions
        figures = [row.report for row in columns[0]]
        table = _plain_table(f"{size} size", *by_encoder, *(["report"] if any(figures) else []))
        for rows in zip(*columns, strict=True):
            counts = [show(row.parameters) for row in rows]
            report = [] if not any(figures) else ["" if rows[0].report is None else _show_millions(rows[0].report)]
            table.add_row(rows[0].component, *counts, *report)
        _console.print(table)
        differences = [row for row in by_encoder.get("ssm", []) if row.difference is not None]
        if differences:
            most = max(differences, key=lambda row: abs(row.difference or 0))
            _console.print(f"The report counts ssm; ours differs by at most {most.difference:+.1%} ({most.component}).")


def _show_millions(count: float) -> str:
    return f"{count / 1e6:.2f} M"


def print_motion(result: "MotionResult") -> None:
    """Print accuracies with their 95% Wilson intervals by question kind, and the paired tests."""
    by_kind = result.summary.by_kind
    table = _plain_table("right, %", "questions", *by_kind)
    kinds = {kind for rows in by_kind.values() for kind in rows}
    for kind in sorted(kinds, key=lambda kind: (kind.startswith("all"), kind)):
        cells = [rows[kind] for rows in by_kind.values()]
        table.add_row(kind, str(cells[0].total), *(_show_accuracy(cell) for cell in cells))
    _console.print(table)
    for name, test in result.summary.paired.items():
        _console.print(
            f"{name}, motion questions: only the first right {test.only_first}, only the second {test.only_second}, "
            f"McNemar p = {test.p_value:.2g}"
        )
    _console.print(
        f"{result.questions} questions about {result.clips} clips from seed {result.first_seed}, {result.seconds:.0f} s"
    )


def print_gates(gates: "dict[str, MeanShares]") -> None:
    """Print the streams' mean shares by question kind."""
    if not gates:
        _console.print("This adapter's fusion has no gates, or no question was asked with motion tokens.")
        return
    table = _plain_table("weight, %", "questions", "motion", "residual", "context")
    for kind in sorted(gates, key=lambda kind: (kind.startswith("all"), kind)):
        one = gates[kind]
        shares = (f"{100 * share:.1f}" for share in (one.motion, one.residual, one.context))
        table.add_row(kind, str(one.questions), *shares)
    _console.print(table)


def _show_accuracy(one: "Accuracy") -> str:
    return escape(f"{100 * one.share:.1f} [{100 * one.low:.0f}, {100 * one.high:.0f}]")


def print_budgets(budgets: "Sequence[Budget]") -> None:
    """Print what prompts cost on each host, a row for each prompt."""
    request = budgets[0].request
    asked = {
        "video": f"{request.width} x {request.height}, {request.duration:g} s",
        "asked for": f"{request.tokens_per_interval} motion tokens an interval, placed {request.placement}; at most "
        f"{request.max_anchor_tokens} image tokens a picture",
        "seconds": ", ".join(f"{seconds:.2f} between {what}s" for what, seconds in budgets[0].spacing.items()),
    }
    _print_rows(asked)
    table = _plain_table("host", "prompt", "frames", "text", "image", "motion", "total", "positions", "of dense")
    table.columns[0].overflow = "fold"
    table.columns[1].no_wrap = True
    for one in budgets:
        costs = {"full": one.full, "anchors only": one.anchors_only, "dense": one.dense}
        for name, cost in costs.items():
            numbers = (cost.frames, cost.text, cost.image, cost.motion, cost.total, cost.positions)
            cells = ("" if number is None else f"{number:,}" for number in numbers)
            table.add_row(
                escape(one.host) if name == "full" else "", name, *cells, f"{cost.total / one.dense.total:.1%}"
            )
    _console.print(table)
    if budgets[0].full.text is None:
        _console.print(
            "Text tokens depend on a host's tokenizer, which --all-hosts does without: they are not counted."
        )


def print_recipes(found: "Sequence[ListedRecipe]") -> None:
    """Print a line for each recipe: the row that it stands for, and on which of its bases it runs here."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    # A name is there to be copied, so it stands on one line however narrow the window.
    table.add_column("recipe", no_wrap=True)
    table.add_column("stands for", overflow="fold")
    table.add_column("runs here on", overflow="fold")
    lacking: Counter[str] = Counter()
    for one in found:
        runs = ", ".join(base for base, missing in one.lacks.items() if not missing)
        row = f"{_row_of_report(one.report)}: {one.report.row}" if one.report.row else ""
        table.add_row(one.name, escape(row), runs or "nothing")
        lacking.update(f"{base}: {_brief(missing)}" for base, missing in one.lacks.items() if missing)
    _console.print(table)
    if lacking:
        _console.print("\nWhat is not here, and how many recipes need it (`himmel recipe show NAME` says it for one):")
    for needs, count in sorted(lacking.items()):
        _console.print(f"  {escape(needs)} ({count})")


def _brief(missing: "Sequence[str]") -> str:
    rest = [name for name in missing if not name.startswith("benchmarks.")]
    return ", ".join(rest if len(rest) == len(missing) else [*rest, "the report's benchmarks"])


def print_recipe(shown: "ShownRecipe") -> None:
    """Print every setting of a recipe and where it comes from, its stages and how its figure is measured."""
    stages = (f"{folder} ({'there' if done else 'not there yet'})" for folder, done in shown.stages.items())
    rows = {
        "recipe": f"{shown.name} on {shown.base}",
        "of the report": f"{_row_of_report(shown.report)}: {shown.report.row}" if shown.report.row else "",
        "stages": "\n".join(stages),
        "checkpoint": shown.checkpoint,
        "figure": shown.evaluate or "this version prints none",
        "needs": ", ".join(shown.lacks),
    }
    _print_rows({name: text for name, text in rows.items() if text})
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("setting", no_wrap=True)
    for name in ("value", "from"):
        table.add_column(name, overflow="fold")
    for one in shown.settings:
        table.add_row(escape(one.key), escape(str(one.value)), escape(one.origin))
    _console.print(table)


def _row_of_report(report: "ReportSection") -> str:
    number = f"table {report.table}" if report.table else f"figure {report.figure}" if report.figure else ""
    return f"{number} ({report.section})" if report.section else number


def print_diagnosis(diagnosis: "Diagnosis") -> None:
    """Print what works here."""
    found = ", ".join(f"{device.name} ({device.description})" for device in diagnosis.devices)
    ready = "is there" if diagnosis.host_ready else "is not there yet; `himmel nano get` fetches it"
    missing = (name for name, there in diagnosis.extras.items() if not there)
    _print_rows(
        {
            "versions": ", ".join(f"{name} {version}" for name, version in diagnosis.versions.items()),
            "devices": f"{found}; {diagnosis.threads} threads" if found else "unknown without torch",
            "extras": "\n".join(f"{name} is not installed; {get_extra(name)} gets it" for name in missing)
            or "all are installed",
            "bitstream": _engine_row(diagnosis),
            "nano host": f"{diagnosis.host_folder} {ready}",
        }
    )
    table = _plain_table("codec", "backend", "vectors", "why")
    for trial in diagnosis.codecs:
        table.add_row(trial.codec, trial.backend or "none", f"{trial.num_vectors:,}", escape(trial.note))
    _console.print(table)


def _engine_row(diagnosis: "Diagnosis") -> str:
    version = diagnosis.versions.get(ENGINE)
    if version is None:
        return f"{NO_ENGINE}: vectors of H.264 come from FFmpeg, slower and without exact distances; {GET_ENGINE}"
    return f"himmel's engine, {version}, parses H.264 without decoding it"


def _plain_table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="left" if name in ("why", "backend", "prompt") else "right")
    return table


def _print_rows(rows: dict[str, str]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows.items():
        grid.add_row(name, escape(text))
    _console.print(grid)


def _list_anchors(anchors: "Sequence[AnchorRead]") -> str:
    return ", ".join(f"frame {anchor.frame} at {anchor.time:.2f} s{_why(anchor)}" for anchor in anchors)


def _why(anchor: "AnchorRead") -> str:
    marks = ["keyframe"] if anchor.keyframe else []
    marks += {"uniform": [], "start": ["start"], "coverage": ["coverage"]}.get(anchor.reason, ["new scene"])
    return f" ({', '.join(marks)})" if marks else ""


def _list_seconds(seconds: dict[str, float]) -> str:
    stages = ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
    return f"{sum(seconds.values()):.2f}: {stages}"
