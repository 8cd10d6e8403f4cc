"""A table's two forms."""

import re

from hypothesis import given
from hypothesis import strategies as st

from himmel.evaluation.report.table import Table, to_latex, to_markdown

TABLE = Table(
    name="table-01",
    title="Right answers, %",
    columns=("method", "Video-MME (4)"),
    rows=(("dense & co", "75.0 [30.1, 95.4]"), ("look_m", "")),
    notes=("Intervals at 95 %.",),
    command="himmel eval",
)
# What LaTeX takes for something else than a letter, unless it is written so.
_WRITTEN = {
    **{letter: "\\" + letter for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def test_markdown() -> None:
    assert to_markdown(TABLE) == (
        "**Right answers, %**\n\n"
        "| method | Video-MME (4) |\n"
        "| --- | ---: |\n"
        "| dense & co | 75.0 [30.1, 95.4] |\n"
        "| look_m |  |\n\n"
        "Intervals at 95 %.\n"
    )


def test_latex() -> None:
    assert to_latex(TABLE) == (
        "\\begin{table}\n\\centering\n\\caption{Right answers, \\%}\n\\begin{tabular}{lr}\n\\toprule\n"
        "method & Video-MME (4) \\\\\n\\midrule\n"
        "dense \\& co & 75.0 [30.1, 95.4] \\\\\nlook\\_m &  \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\par\\footnotesize Intervals at 95 \\%.\n\\end{table}\n"
    )


def test_without_rows_the_command_is_named() -> None:
    empty = Table(name="t", title="Title", columns=("a",), rows=(), notes=("Not said.",), command="himmel eval X")
    assert empty.is_missing
    assert to_markdown(empty) == "**Title**\n\nNot measured yet. `himmel eval X`\n"
    assert to_latex(empty) == "% Title: Not measured yet. `himmel eval X`\n"


def test_without_rows_there_may_be_nothing_to_show() -> None:
    none = Table(name="t", title="Title", columns=("a",), rows=(), empty="There are none.")
    assert not none.is_missing
    assert to_markdown(none) == "**Title**\n\nThere are none.\n"


@given(st.text())
def test_latex_reads_any_text_as_letters(text: str) -> None:
    row = to_latex(Table(name="t", title="", columns=("a", "b"), rows=((text, "end"),))).split("\\midrule\n")[1]
    cell = row[: row.index(" & end \\\\\n")]
    for letter, written in _WRITTEN.items():
        assert cell.count(written) >= text.count(letter)
    # Nothing special is left once all that was written for a letter is taken away.
    rest = re.sub(r"\\text(backslash|asciitilde|asciicircum)\{\}|\\[&%$#_{}]", "", cell)
    assert not set(rest) & set(_WRITTEN)
    assert "\n" not in cell


@given(st.text())
def test_markdown_keeps_a_cell_in_its_column(text: str) -> None:
    lines = to_markdown(Table(name="t", title="", columns=("a", "b"), rows=((text, "end"),))).split("\n")
    assert len(lines) == 6
    assert len(re.findall(r"(?<!\\)\|", lines[4])) == 3
