"""The report's tables at nano's scale: rows trained for the same number of samples from the same start, in one folder.

    python -m benchmarks.tables FOLDER --table 1 --seeds 3 --json docs/results/nano-tables.json

Each row is trained and asked in a process of its own (`--parallel` of them at a time), and what is there already is
taken as it is, so that an interrupted run goes on by the same command. All rows share the projector, the training clips
(the first `--stories` seeds), and the questions: `himmel nano bench`, evaluation seeds. A row's interval is the wider
of Wilson's and that of drawing whole clips; rows are compared with the table's first by McNemar's exact test on the
motion questions.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.table_rows import TABLES, Row
from himmel._files import atomic_path
from himmel._versions import versions
from himmel.evaluation.motion import run_motion_benchmark
from himmel.evaluation.statistics import compare_paired
from himmel.evaluation.summary import Judged, summarise
from himmel.model import HimmelConfig
from himmel.nano.draw import draw_spec
from himmel.training.resolve import resolve_recipe
from himmel.training.run import run_recipe
from himmel.training.settings import make_settings
from himmel.training.store import ClipStore

_WAIT = 2.0


def main() -> None:
    """Train and ask what is missing, then print the tables."""
    options = _options()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.one is not None:
        _do(options, *options.one.rsplit("@", 1))
        return
    rows = [(row, seed) for name in options.table for row in TABLES[name] for seed in range(row.seeds(options.seeds))]
    todo = list(dict.fromkeys((row.key, seed) for row, seed in rows if not _result(options, row, seed).is_file()))
    if todo:
        _prepare(options, [row for row, seed in rows if (row.key, seed) in todo])
        _train_projector(options)
        _run(options, todo)
    tables = {name: _table(options, TABLES[name]) for name in options.table}
    for name, table in tables.items():
        _print(name, table)
    if options.json is not None:
        with atomic_path(options.json) as file:
            file.write_text(json.dumps(_document(options, tables), indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where runs and answers are kept")
    parser.add_argument("--table", nargs="+", choices=TABLES, default=["1"], help="which tables; default: 1")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the rows that decide; others have one")
    parser.add_argument("--stories", type=int, default=1800, help="training clips")
    parser.add_argument("--aligning", type=int, default=600, help="steps of stage 1")
    parser.add_argument("--steps", type=int, default=300, help="steps of stage 2")
    parser.add_argument("--batch", type=int, default=16, help="clips of a step")
    parser.add_argument("--clips", type=int, default=400, help="clips that are asked about, two questions each")
    parser.add_argument("--parallel", type=int, default=1, help="rows at work at a time")
    parser.add_argument("--until", type=float, default=None, metavar="MINUTES", help="start no row after so long")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of all rows' recipes")
    parser.add_argument("--json", type=Path, help="file for the tables")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def _row(key: str) -> Row:
    return next(row for rows in TABLES.values() for row in rows if row.key == key)


def _overrides(options: argparse.Namespace, row: Row, seed: int) -> dict[str, str]:
    common = {
        "output": str(options.folder / "runs"),
        "data.clips": str(options.stories),
        "stage1.optimizer.steps": str(options.aligning),
        "stage1.optimizer.batch_size": str(options.batch),
        "stage2.optimizer.steps": str(options.steps),
        "stage2.optimizer.batch_size": str(options.batch),
        "stage1.seed": str(100 + seed),
        "stage2.seed": str(200 + seed),
    }
    return common | dict(item.split("=", 1) for item in options.set) | dict(row.overrides)


def _result(options: argparse.Namespace, row: Row, seed: int) -> Path:
    return Path(options.folder) / "answers" / f"{row.key}-{seed}.json"


def _prepare(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Render all clips once, before several rows look for the same ones."""
    done: set[Path] = set()
    for row in rows:
        recipe = resolve_recipe(row.recipe, base="nano", overrides=_overrides(options, row, 0)).recipe
        config = HimmelConfig.of(make_settings(recipe.model, host=recipe.host))
        for split, first, count in (("train", 0, options.stories), ("eval", 10_000_000, options.clips)):
            store = ClipStore(config, split=split)  # type: ignore[arg-type]
            if store.folder not in done:
                done.add(store.folder)
                store.prepare(range(first, first + count), workers=os.cpu_count() or 1)


def _train_projector(options: argparse.Namespace) -> None:
    """Train the projector that all rows begin with, if it is not there."""
    row = Row("start", "default", {"stages": "[]"}, "no-motion")
    run_recipe(row.recipe, base="nano", overrides=_overrides(options, row, 0), tell=print)


def _run(options: argparse.Namespace, todo: list[tuple[str, int]]) -> None:
    begun = time.monotonic()
    at_work: dict[str, subprocess.Popen[bytes]] = {}
    logs = options.folder / "logs"
    logs.mkdir(exist_ok=True)
    while todo or at_work:
        late = options.until is not None and time.monotonic() - begun > 60 * options.until
        while todo and len(at_work) < options.parallel and not late:
            key, seed = todo.pop(0)
            name = f"{key}@{seed}"
            command = [sys.executable, "-m", "benchmarks.tables", *sys.argv[1:], "--one", name]
            with (logs / f"{name}.log").open("ab") as log:
                at_work[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            print(f"{time.monotonic() - begun:7.0f} s: {name} has begun", flush=True)
        if late and not at_work:
            print(f"Not begun: {', '.join(f'{key}@{seed}' for key, seed in todo)}", flush=True)
            return
        time.sleep(_WAIT)
        for name, process in list(at_work.items()):
            if process.poll() is not None:
                del at_work[name]
                how = "is done" if process.returncode == 0 else f"has failed, see {logs / name}.log"
                print(f"{time.monotonic() - begun:7.0f} s: {name} {how}", flush=True)


def _do(options: argparse.Namespace, key: str, seed: str) -> None:
    row = _row(key)
    folder = run_recipe(row.recipe, base="nano", overrides=_overrides(options, row, int(seed)), tell=print)
    output = _result(options, row, int(seed))
    output.parent.mkdir(exist_ok=True)
    run_motion_benchmark(folder, num_clips=options.clips, conditions=[row.condition], output=output)


def _table(options: argparse.Namespace, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each row and seed its accuracies, tokens and comparison with the first row's first seed."""
    found = []
    first: dict[tuple[int, int], bool] | None = None
    for row in rows:
        for seed in range(row.seeds(options.seeds)):
            file = _result(options, row, seed)
            if not file.is_file():
                found.append({"row": row.name, "seed": seed, "run": False})
                continue
            result = json.loads(file.read_text(encoding="utf-8"))
            right = {
                (one["clip"], one["question"]): one["chosen"] == one["answer"]
                for one in result["answers"]
                if one["motion"]
            }
            kinds = result["by_kind"][row.condition]
            tokens = result["tokens"][row.condition]
            halves = _by_duration([Judged(**one) for one in result["answers"] if one["motion"]])
            entry = {"row": row.name, "seed": seed, "run": True, "tokens": tokens, **kinds, "by_duration": halves}
            if first is None:
                first = right
            else:
                both = sorted(first.keys() & right.keys())
                test = compare_paired([right[key] for key in both], [first[key] for key in both])
                entry["against_first"] = vars(test)
            found.append(entry)
    return found


def _by_duration(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Motion questions about the shorter half of the clips and about the longer half; appendix J, table 21."""
    seconds = {clip: draw_spec(clip, "eval").seconds for clip in {one.clip for one in judged}}
    middle = statistics.median(seconds.values())
    halves = []
    for longer, most in ((False, middle), (True, max(seconds.values()))):
        by_kind = summarise([one for one in judged if (seconds[one.clip] > middle) == longer]).to_json()["by_kind"]
        halves += [{"most_seconds": most, **rows["all motion"]} for rows in by_kind.values()]
    return halves


def _print(name: str, table: Sequence[dict[str, Any]]) -> None:
    print(f"\nTable {name}: right, % [95 %]; tokens of text, image, motion; McNemar against the first row")
    for entry in table:
        if not entry["run"]:
            print(f"{entry['row']:28} {entry['seed']}  not run")
            continue
        cells = [_cell(entry[kind]) for kind in ("all motion", "all still", "all") if kind in entry]
        tokens = " + ".join(f"{count:.0f}" for count in entry["tokens"].values())
        test = entry.get("against_first")
        said = "" if test is None else f"  {test['only_first']} : {test['only_second']}, p = {test['p_value']:.2g}"
        print(f"{entry['row']:28} {entry['seed']}  {'  '.join(cells)}  {tokens}{said}")


def _cell(one: dict[str, Any]) -> str:
    return f"{100 * one['share']:.1f} [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"


def _document(options: argparse.Namespace, tables: dict[str, Any]) -> dict[str, Any]:
    settings = ("stories", "aligning", "steps", "batch", "clips", "seeds")
    return {
        "benchmark": "nano-tables",
        "command": " ".join(["python -m benchmarks.tables FOLDER", *sys.argv[2:]]),
        "settings": {name: getattr(options, name) for name in settings},
        "versions": versions("accelerate"),
        "tables": tables,
    }


if __name__ == "__main__":
    main()
