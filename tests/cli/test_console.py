"""Tables in windows of any width, and progress where stderr is no terminal."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from hand_clock import clock_by_hand
from himmel import _progress
from himmel.cli import budget, console, params, recipe
from himmel.cli.console import Column, print_rows, print_table

Run = Callable[..., tuple[int, str, str]]
Widen = Callable[[int], None]


@pytest.fixture
def widen(monkeypatch: pytest.MonkeyPatch) -> Widen:
    """Give the window a width."""

    def set_width(width: int) -> None:
        for module in (console, budget, params, recipe):
            monkeypatch.setattr(module, "console", Console(width=width, highlight=False))

    return set_width


def letters(text: str) -> Counter[str]:
    """How often each sign occurs, without the white space at which lines are broken."""
    return Counter("".join(text.split()))


@pytest.mark.parametrize("width", [200, 80, 40, 20])
def test_a_table_loses_nothing(widen: Widen, capsys: pytest.CaptureFixture[str], width: int) -> None:
    widen(width)
    columns = [Column("name", text=True, whole=True), Column("count"), Column("why [not]", text=True)]
    rows = [
        ("tables/12-anchors", "1,234,567", "because it is [so]"),
        ("b", "2", "a-word-without-any-place-to-break-it"),
    ]
    print_table(columns, rows)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    cells = [*(column.name for column in columns), *(cell for row in rows for cell in row)]
    assert letters("".join(cells)) <= letters(out)


def test_a_wide_window_has_one_line_a_row_and_a_narrow_one_one_a_cell(
    widen: Widen, capsys: pytest.CaptureFixture[str]
) -> None:
    columns, rows = [Column("name", text=True, whole=True), Column("count")], [("a" * 20, "1"), ("b", "2" * 15)]
    widen(60)
    print_table(columns, rows)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["name", "count"], *map(list, rows)]
    widen(30)
    print_table(columns, rows)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"name: {'a' * 20}", "  count  1", "name: b", f"  count  {'2' * 15}"]


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize("arguments", [("recipe", "list"), ("recipe", "show", "default"), ("params",)])
def test_what_verbs_print_fits(run: Run, widen: Widen, width: int, arguments: tuple[str, ...]) -> None:
    widen(width)
    code, out, _ = run(*arguments)
    assert code == 0
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    if arguments[:2] == ("recipe", "show"):
        settings = json.loads(run(*arguments, "--json")[1])["settings"]
        assert letters("".join(f"{one['key']}{one['value']}{one['origin']}" for one in settings)) <= letters(out)


def test_rows_without_text_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows({"video": "clip.mp4", "note": ""})
    assert capsys.readouterr().out.split() == ["video", "clip.mp4"]


def test_off_a_terminal_work_says_now_and_then_how_long_it_has_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = threading.Semaphore(0)
    tell = _progress._tell

    def heard(line: str) -> None:
        tell(line)
        told.release()

    monkeypatch.setattr(_progress, "EVERY", 0.001)
    monkeypatch.setattr(_progress, "_tell", heard)
    with _progress.working("Reading"):
        assert all(told.acquire(timeout=60) for _ in range(3))
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) >= 3
    assert all(re.fullmatch(r"Reading: \d+ s so far", line) for line in err.splitlines())


def test_off_a_terminal_items_are_told_of_every_half_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = clock_by_hand(monkeypatch, "monotonic")
    for _ in _progress.track(range(9), what="Rendering", total=9):
        clock.turn(10)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Rendering: 3 of 9, 0.1 a second, 0:01:00 left",
        "Rendering: 6 of 9, 0.1 a second, 0:00:30 left",
    ]


def test_what_is_quick_says_nothing_of_progress(run: Run, encode_clip: Callable[..., Path], tmp_path: Path) -> None:
    code, _, err = run("streams", encode_clip("clip.mp4"), "-o", tmp_path / "maps.npz")
    assert (code, err) == (0, "")
