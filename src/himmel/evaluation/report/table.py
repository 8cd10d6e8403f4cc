"""A table, and its two forms: Markdown and LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


@dataclass(frozen=True)
class Table:
    """Cells as texts.

    Attributes:
        name: of its files, such as `table-01-main`.
        title: one line, with the number of the report's table where there is one.
        columns: headings; the first column holds names, the others figures.
        rows: cells, as many in each row as there are columns; an empty cell was not measured.
        notes: sentences below the table.
        command: what fills it, where it has no rows.
        empty: what it means that there are no rows, where that is no lack of results.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    command: str = ""
    empty: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether there are no results for it."""
        return not self.rows and not self.empty

    @property
    def in_place_of_rows(self) -> str:
        """What is said where there are no rows."""
        return self.empty or f"Not measured yet. `{self.command}`"


def to_markdown(table: Table) -> str:
    """The table as GitHub shows it, under its title; where it has no rows, the command that fills it."""
    lines = [f"**{table.title}**", ""]
    if table.rows:
        lines += [_markdown_row(table.columns), _markdown_row(["---", *["---:"] * (len(table.columns) - 1)])]
        lines += [_markdown_row(row) for row in table.rows]
    else:
        lines.append(table.in_place_of_rows)
    for note in table.notes if table.rows else ():
        lines += ["", note]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """The table for a paper with the package booktabs."""
    if not table.rows:
        return f"% {' '.join(table.title.split())}: {table.in_place_of_rows}\n"
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        r"\toprule",
        _latex_row(table.columns),
        r"\midrule",
        *(_latex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    lines += [rf"\par\footnotesize {_escape(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_escape(" ".join(cell.split())) for cell in cells) + r" \\"


def _escape(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
