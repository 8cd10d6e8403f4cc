"""Tables of what was found with nano, from result files as the commands write them."""

import json
from pathlib import Path
from typing import Any

from himmel.evaluation.report.collect import Results, collect
from himmel.evaluation.report.nano_tables import benchmark_table, claims_table, row_tables

_ROOT = Path(__file__).parents[3]


def _cell(correct: int, total: int) -> dict[str, float]:
    share = correct / total
    return {"correct": correct, "total": total, "share": share, "low": share / 2, "high": (1 + share) / 2}


def _find(tmp_path: Path, **documents: dict[str, Any]) -> Results:
    for name, content in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return collect([tmp_path])


def _bench(*conditions: str) -> dict[str, Any]:
    kinds = {"all motion": _cell(2, 4), "all still": _cell(3, 4), "camera": _cell(1, 2)}
    return {"benchmark": "nano-motion", "by_kind": dict.fromkeys(conditions, kinds)}


def test_the_benchmarks_kinds_follow_their_sums(tmp_path: Path) -> None:
    table = benchmark_table(_find(tmp_path, one=_bench("motion", "text")).motion)
    assert table.columns == ("questions", "number", "with motion tokens", "text alone")
    assert [row[:3] for row in table.rows] == [
        ("all motion", "4", "50.0 [25.0, 75.0]"),
        ("all still", "4", "75.0 [37.5, 87.5]"),
        ("camera", "2", "50.0 [25.0, 75.0]"),
    ]


def test_two_checkpoints_stand_under_the_names_of_their_files(tmp_path: Path) -> None:
    table = benchmark_table(_find(tmp_path, old=_bench("motion"), young=_bench("motion", "text")).motion)
    assert [row[0] for row in table.rows][::3] == ["old: all motion", "young: all motion"]
    # What one of them was not asked is no figure.
    assert table.rows[0][3] == ""
    assert table.rows[3][3] == "50.0 [25.0, 75.0]"


def _rows(seeds: int = 1) -> dict[str, Any]:
    tokens = {"text": 90.1, "image": 128.0, "motion": 72.0}
    measured = {"run": True, "tokens": tokens, "all motion": _cell(1, 4), "all still": _cell(2, 4)}
    test = {"only_first": 14, "only_second": 2, "p_value": 0.00418}
    full = [{"row": "full", "seed": seed, **measured, "against_first": test} for seed in range(seeds)]
    rows = [{"row": "dense", "seed": 0, **measured}, *full, {"row": "+ motion", "seed": 0, "run": False}]
    settings = {"stories": 300, "aligning": 200, "steps": 16, "batch": 8, "clips": 60, "seeds": seeds}
    return {"benchmark": "nano-tables", "settings": settings, "tables": {"1": rows, "placement": rows[:1]}}


def test_each_table_has_its_rows_and_what_was_not_run(tmp_path: Path) -> None:
    first, placement = row_tables(_find(tmp_path, tables=_rows()).rows)
    assert (first.name, placement.name) == ("table-nano-01", "table-nano-placement")
    assert first.rows == (
        ("dense", "25.0 [12.5, 62.5]", "50.0 [25.0, 75.0]", "90 + 128 + 72", ""),
        ("full", "25.0 [12.5, 62.5]", "50.0 [25.0, 75.0]", "90 + 128 + 72", "14 : 2, 0.0042"),
        ("+ motion", "not run", "", "", ""),
    )
    assert "stage 1 has 200 steps, and 300 clips are there to learn from." in first.notes[0]
    assert "Stage 2: 16 steps of 8 clips. 60 clips are asked about." in first.notes[0]


def test_the_same_table_of_two_files_is_two_tables(tmp_path: Path) -> None:
    names = [table.name for table in row_tables(_find(tmp_path, old=_rows(), young=_rows()).rows)]
    assert names == [
        "table-nano-01-old",
        "table-nano-placement-old",
        "table-nano-01-young",
        "table-nano-placement-young",
    ]


def test_rows_of_several_seeds_name_them(tmp_path: Path) -> None:
    first, _ = row_tables(_find(tmp_path, tables=_rows(seeds=2)).rows)
    assert [row[0] for row in first.rows] == ["dense", "full, seed 0", "full, seed 1", "+ motion"]


def test_table_21_divides_the_rows_of_table_1_by_duration(tmp_path: Path) -> None:
    document = _rows(seeds=2)
    for right, entry in enumerate(document["tables"]["1"][:3]):
        entry["by_duration"] = [{"most_seconds": 13.6, **_cell(right, 4)}, {"most_seconds": 119.9, **_cell(2, 8)}]
    *_, table = row_tables(_find(tmp_path, tables=document).rows)
    assert (table.name, table.columns) == (
        "table-nano-21",
        ("row", "clips of up to 14 s", "longer clips, of up to 120 s"),
    )
    assert table.rows == (
        ("dense", "0.0 [0.0, 50.0] of 4", "25.0 [12.5, 62.5] of 8"),
        ("full, seed 0", "25.0 [12.5, 62.5] of 4", "25.0 [12.5, 62.5] of 8"),
        ("full, seed 1", "50.0 [25.0, 75.0] of 4", "25.0 [12.5, 62.5] of 8"),
    )


def test_a_claim_has_its_verdict_and_its_figures(tmp_path: Path) -> None:
    gain = {"share": 0.031, "low": -0.01, "high": 0.07, "count": 40}
    weights = {"motion": 0.25, "residual": 0.25, "context": 0.5}
    claim = {"what": "how much more", "rows": {"rests": weights}, "difference": gain, "verdict": "cannot tell"}
    table = claims_table(_find(tmp_path, claims={"benchmark": "nano-claims", "claims": {"gates": claim}}).claims)
    assert table.rows == (
        ("gates: how much more", "", "", "cannot tell"),
        ("rests", "motion 25.0, residual 25.0, context 50.0", "", ""),
        ("difference", "3.1 [-1.0, 7.0]", "40", ""),
    )


def test_without_results_each_table_says_what_would_fill_it(tmp_path: Path) -> None:
    results = _find(tmp_path, bench=_bench("motion"))
    missing = [*row_tables(results.rows), claims_table(results.claims)]
    assert [table.is_missing for table in missing] == [True, True]
    assert [table.in_place_of_rows for table in missing] == [
        "Not measured yet. `python -m benchmarks.tables FOLDER --json FILE`",
        "Not measured yet. `python -m benchmarks.claims FOLDER --json FILE`",
    ]


def test_the_readme_shows_what_the_committed_results_hold() -> None:
    results = collect([_ROOT / "docs" / "results"])
    shown = (_ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    motion, still, *_ = benchmark_table(results.motion).rows
    rows = [("about motion", *motion[1:]), ("about still things", *still[1:])]
    rows += next(table.rows for table in row_tables(results.rows) if table.name == "table-nano-01-nano-tables")
    assert [row for row in rows if f"| {' | '.join(row)} |" not in shown and row[1] != "not run"] == []
