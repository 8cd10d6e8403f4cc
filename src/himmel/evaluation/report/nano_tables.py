"""Tables of what was found with nano: its benchmark, the rows of the report's tables at its scale, and claims."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from himmel.evaluation.report.collect import Document
from himmel.evaluation.report.table import Table

_CONDITIONS: Final = {
    "motion": "with motion tokens",
    "no-motion": "anchors alone",
    "shuffled": "motion of another clip",
    "text": "text alone",
}
_SUMS: Final = ("all motion", "all still")
_CLUSTERED: Final = "Intervals are at 95 %: the wider of Wilson's and that of drawing whole clips."


def benchmark_table(motion: Sequence[Document]) -> Table:
    """What `himmel nano bench` found: right answers by kind of question, under each condition that was asked."""
    columns = [name for name in _CONDITIONS if any(name in one.content["by_kind"] for one in motion)]
    rows = []
    for document in motion:
        by_kind = document.content["by_kind"]
        called = f"{document.path.stem}: " if len(motion) > 1 else ""
        kinds = {kind: cell["total"] for cells in by_kind.values() for kind, cell in cells.items()}
        for kind in sorted(kinds, key=lambda one: (one not in _SUMS, one)):
            cells = [_cell(by_kind[name][kind]) if kind in by_kind.get(name, {}) else "" for name in columns]
            rows.append((f"{called}{kind}", str(kinds[kind]), *cells))
    return Table(
        name="table-nano-benchmark",
        title="nano's benchmark: right answers by kind of question, % (chance: 25)",
        columns=("questions", "number", *(_CONDITIONS[name] for name in columns)),
        rows=tuple(rows),
        notes=(_CLUSTERED,),
        command="himmel nano bench -o FILE",
    )


def row_tables(documents: Sequence[Document]) -> list[Table]:
    """The report's tables at nano's scale, one of each that `benchmarks.tables` trained; one that is empty for none."""
    found = []
    for document in documents:
        tables = document.content["tables"]
        found += [_row_table(number, rows, document, of=len(documents)) for number, rows in tables.items()]
        main = tables.get("1", tables.get("seeds", ()))
        if any("by_duration" in entry for entry in main):
            found.append(_duration_table(main, document, of=len(documents)))
    command = "python -m benchmarks.tables FOLDER --json FILE"
    return found or [Table("table-nano-rows", "The report's tables at nano's scale", (), (), command=command)]


def _row_table(number: str, entries: Sequence[Mapping[str, Any]], document: Document, *, of: int) -> Table:
    """One table of a result file; where there are several files, it is called by its own."""
    settings = document.content["settings"]
    rows = []
    for name, entry in _named(entries):
        if not entry["run"]:
            rows.append((name, "not run", *[""] * 3))
            continue
        test = entry.get("against_first")
        rows.append(
            (
                name,
                *(_cell(entry[kind]) if kind in entry else "" for kind in _SUMS),
                " + ".join(f"{count:.0f}" for count in entry["tokens"].values()),
                "" if test is None else f"{test['only_first']} : {test['only_second']}, {test['p_value']:.2g}",
            )
        )
    called = f"Table {number}" if number.isdigit() else f"Table of {number}"
    file = document.path.stem
    return Table(
        name=f"table-nano-{number.zfill(2)}" + (f"-{file}" if of > 1 else ""),
        title=f"{called} at nano's scale{f' ({file})' if of > 1 else ''}: right answers, % (chance: 25)",
        columns=(
            "row",
            "motion questions",
            "still questions",
            "tokens of text, pictures, motion",
            "right only in this row : only in the first, p",
        ),
        rows=tuple(rows),
        notes=(
            f"{_CLUSTERED} The last column is McNemar's test on the motion questions. Unless a row says otherwise, "
            f"stage 1 has {settings['aligning']} steps, and {settings['stories']} clips are there to learn from. Stage "
            f"2: {settings['steps']} steps of {settings['batch']} clips. {settings['clips']} clips are asked about.",
        ),
        command="python -m benchmarks.tables FOLDER --json FILE",
    )


def _duration_table(entries: Sequence[Mapping[str, Any]], document: Document, *, of: int) -> Table:
    """The report's table 21 from the rows of its table 1: motion questions by how long their clips are."""
    run = [(name, entry["by_duration"]) for name, entry in _named(entries) if entry["run"] and "by_duration" in entry]
    headings = ("clips of up to {:.0f} s", "longer clips, of up to {:.0f} s")
    columns = (
        one.format(half["most_seconds"]) for _, halves in run[:1] for one, half in zip(headings, halves, strict=False)
    )
    file = document.path.stem
    return Table(
        name="table-nano-21" + (f"-{file}" if of > 1 else ""),
        title=f"Table 21 at nano's scale{f' ({file})' if of > 1 else ''}: right answers about motion by duration, %",
        columns=("row", *columns),
        rows=tuple((name, *(f"{_cell(half)} of {half['total']}" for half in halves)) for name, halves in run),
        notes=(f"{_CLUSTERED} The clips' median duration divides them in two halves.",),
        command="python -m benchmarks.tables FOLDER --json FILE",
    )


def _named(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each entry with its row's name, and its seed where a row has several."""
    several = {entry["row"] for entry in entries if entry["seed"] > 0}
    return [
        (f"{entry['row']}, seed {entry['seed']}" if entry["row"] in several else entry["row"], entry)
        for entry in entries
    ]


def claims_table(documents: Sequence[Document]) -> Table:
    """What `benchmarks.claims` found about claims that the report makes in passing."""
    rows: list[tuple[str, ...]] = []
    for document in documents:
        called = f"{document.path.stem}, " if len(documents) > 1 else ""
        for name, claim in document.content["claims"].items():
            rows.append((f"{called}{name}: {claim['what']}", "", "", claim["verdict"]))
            for row, value in claim["rows"].items():
                rows.append((row, *_measured(value), ""))
            for extra in ("InfoNCE minus mean squared error", "difference"):
                if extra in claim:
                    rows.append((extra, *_measured(claim[extra]), ""))
    return Table(
        name="table-nano-claims",
        title="Claims that the report makes in passing, held against figures on nano",
        columns=("claim", "%", "number", "verdict"),
        rows=tuple(rows),
        notes=("Intervals are at 95 %, by drawing whole clips; of answers, the wider of that and Wilson's.",),
        command="python -m benchmarks.claims FOLDER --json FILE",
    )


def _measured(value: Mapping[str, float]) -> tuple[str, str]:
    """A share with its interval and number, or the weights of streams, which have none."""
    if "low" not in value:
        return ", ".join(f"{stream} {100 * share:.1f}" for stream, share in value.items()), ""
    return _cell(value), str(value["count"])


def _cell(one: Mapping[str, float]) -> str:
    return f"{100 * one['share']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
