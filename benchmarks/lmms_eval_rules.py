"""Whether our prompts, and our copies of lmms-eval's ways to score a text, are those of its real tasks.

    pip download lmms-eval==0.7.3 --no-deps
    python -m benchmarks.lmms_eval_rules lmms_eval-0.7.3-py3-none-any.whl [--texts 2000] [--seed 0] [--json]

Takes the functions of each task out of the wheel and runs them without the rest of the package, whose dependencies fill
gigabytes. Each benchmark loads a row of the released form; its prompt is compared with the task's, and the points of
`texts` random answers with those that the task gives. Exits with 1 if anything differs.
"""

import argparse
import ast
import json
import random
import re
import string
import tempfile
import typing
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow
import pyarrow.parquet
import yaml

from himmel.evaluation.benchmarks import benchmark
from himmel.evaluation.benchmarks.mvbench import TASKS
from himmel.evaluation.items import HarnessPoints, Item

Row = dict[str, Any]
Functions = dict[str, Any]
_TASKS: Final = "lmms_eval/tasks"


@dataclass(frozen=True)
class Case:
    """One benchmark against its task.

    Attributes:
        name: our benchmark.
        module: the task's file with functions, below lmms_eval/tasks.
        settings: the task's YAML file, for its default prompt settings.
        files: annotation file -> its one row; the first is the row that is asked about.
        prompt: the task's prompt for a row, from its functions and settings; None where it has none of its own.
        points: what the task gives for a text, likewise; None where a model judges.
    """

    name: str
    module: str
    settings: str
    files: dict[str, Row]
    prompt: Callable[[Functions, Row, Any], str] | None = None
    points: Callable[[Functions, Row, str], HarnessPoints] | None = None


def _shared(functions: Functions, row: Row, text: str) -> HarnessPoints:
    return float(functions["extract_mcq_answer"](text, choices=["A", "B", "C", "D"]) == row["answer"])


def _drawn(functions: Functions, row: Row, text: str) -> HarnessPoints:
    """LongVideoBench's rule, with each of the possible draws once."""
    options = ["A", "B", "C"]
    points = []
    for drawn in options:
        functions["random"].choice = lambda _, drawn=drawn: drawn
        found = functions["parse_multi_choice_response"](text, options, {})
        points.append(float(found == options[row["correct_choice"]]))
    return sum(points) / len(points)


def _judged(functions: Functions, row: Row, text: str) -> HarnessPoints:
    functions["get_eval_result"] = lambda _: ("", "needs a judge")
    rating = functions["tempcompass_process_results_multi_choice"](row, [text])["avg_accuracy"]["rating"]
    return rating if rating == "needs a judge" else float(rating)


def _perception_test(functions: Functions, row: Row, text: str) -> HarnessPoints:
    return float(functions["perceptiontest_val_process_results_mc"](row, [text])["accuracy"]["correct"])


def _tomato(functions: Functions, row: Row, text: str) -> HarnessPoints:
    _, letters, texts = functions["construct_prompt"](row["question"], row["options"])
    return float(functions["parse_multi_choice_response"](text, letters, texts) == letters[row["answer"]])


def _motionbench(functions: Functions, row: Row, settings: Any) -> str:
    question, options = functions["_split_question_and_options"](row["qa"][0]["question"])
    text: str = functions["motionbench_doc_to_text"]({"question": question, "options": options}, settings)
    return text


_VIDEO_MME: Final = {
    "question_id": "1", "videoID": "v", "duration": "short", "domain": "d", "task_type": "t", "question": "What?",
    "options": ["A. up", "B. down", "C. left", "D. Bananas"], "answer": "B",
}  # fmt: skip
_MVBENCH: Final = {"video": "v.mp4", "question": "What?", "candidates": ["up", "down", "a dog"], "answer": "down"}
_MLVU: Final = {"video_name": "v.mp4", "question": "What?\n(A) up\n(B) down", "answer": "B", "task_type": "count"}
_LONGVIDEOBENCH: Final = {
    "id": "1", "video_path": "v.mp4", "question": "What?", "option0": "up", "option1": "down", "option2": "left",
    "option3": "N/A", "option4": "N/A", "correct_choice": 1, "subtitle_path": "v.json", "duration": 9.0,
    "starting_timestamp_for_subtitles": 0.0, "question_category": "c",
}  # fmt: skip
_PERCEPTION: Final = {
    "video_name": "v", "question": "What?", "question_id": "1", "options": ["up", "down", "left"], "answer_id": "1",
}  # fmt: skip
_ACTIVITYNET: Final = {"video_name": "v", "question": "what is it", "question_id": "1", "answer": "a dog", "type": "5"}
_MATHVISTA: Final = {
    "pid": "1", "question": "How long?", "choices": None, "unit": "cm", "precision": 1.0, "answer": "1.2",
    "question_type": "free_form", "answer_type": "float", "image": "1.png",
}  # fmt: skip
_MATHVISION: Final = {"id": "1", "question": "Which?", "options": ["1", "2"], "answer": "B", "image": "1.png"}
_OCR: Final = {
    "dataset": "d",
    "question": " What? ",
    "question_type": "t",
    "answer": ["B down", "x\ny"],
    "image": "1.png",
}
_REALWORLD: Final = {"question": "Which?\n\nA. up\nB. down", "answer": "B", "image": "1.png"}
_MOTION: Final = {
    "video_path": "v.mp4", "question_type": "t",
    "qa": [{"uid": "1", "question": "What\nis it?\nA. up\nB. down,\nthen up", "answer": "B"}],
}  # fmt: skip
_COMPASS: Final = {"video_id": "v", "question": "What?\nA. up\nB. down", "answer": "B. down", "dim": "d"}
_COMPASS_YES: Final = {"video_id": "v", "question": "Is it?", "answer": "yes", "dim": "d"}
_COMPASS_MATCH: Final = _COMPASS | {
    "question": "Which?\nOption 1: up\nOption 2: down", "answer": "Option 2: down",
}  # fmt: skip
_TOMATO: Final = {
    "id": "1", "question": "What?", "options": ["it's up", "down", "left"], "answer": 1, "video_path": "v.mp4",
    "reason_type": "r",
}  # fmt: skip

CASES: Final = (
    Case(
        "video_mme", "videomme/utils.py", "videomme/videomme.yaml", {"videomme/test.parquet": _VIDEO_MME},
        lambda task, row, settings: task["videomme_doc_to_text"](row, settings), _shared,
    ),
    Case(
        "mvbench", "mvbench/utils.py", "mvbench/mvbench_action_count.yaml",
        {f"json/{task}.json": _MVBENCH for task in TASKS},
        lambda task, row, settings: task["mvbench_doc_to_text"](row, settings),
        lambda task, row, text: float(task["mcq_acc"]("B", text)) if text else "left out",
    ),
    Case(
        "mlvu", "mlvu/utils.py", "mlvu/mlvu_dev.yaml", {"test.parquet": _MLVU},
        lambda task, row, settings: task["mlvu_doc_to_text"](row, settings), _shared,
    ),
    Case(
        "longvideobench", "longvideobench/utils.py", "longvideobench/longvideobench_val_v.yaml",
        {"validation.parquet": _LONGVIDEOBENCH},
        lambda task, row, settings: task["longvideobench_doc_to_text"](row, settings), _drawn,
    ),
    Case(
        "perception_test", "perceptiontest/val/utils.py", "perceptiontest/val/_default_template_yaml",
        {"mc_question_val/validation.parquet": _PERCEPTION},
        lambda task, row, settings: task["perceptiontest_val_doc_to_text"](row, settings),
        _perception_test,
    ),
    Case(
        "activitynet_qa", "activitynetqa/utils.py", "activitynetqa/_default_template_yaml",
        {"test.parquet": _ACTIVITYNET},
        lambda task, row, settings: task["activitynetqa_doc_to_text"](row, settings),
    ),
    Case(
        "mathvista", "mathvista/mathvista_evals.py", "mathvista/mathvista_testmini_format.yaml",
        {"testmini.parquet": _MATHVISTA},
        lambda task, row, settings: task["create_one_query"](
            None, {"caption": "", "ocr": "", **row}, settings["shot_type"], shot_num=settings["shot"]
        ),
    ),
    Case(
        "mathvision", "mathvision/utils.py", "mathvision/mathvision_test.yaml", {"test-0.parquet": _MATHVISION},
        lambda task, row, settings: task["mathvision_doc_to_text"](row, settings),
    ),
    *(
        Case(
            "ocrbench", "ocrbench/utils.py", "ocrbench/ocrbench.yaml", {"test.parquet": _OCR | {"dataset": source}},
            lambda task, row, settings: task["ocrbench_doc_to_text"](row, settings),
            lambda task, row, text: float(task["ocrbench_process_results"](row, [text])["ocrbench_accuracy"]["score"]),
        )
        for source in ("IIIT5K", "HME100k")
    ),
    Case(
        "realworldqa", "realworldqa/utils.py", "realworldqa/realworldqa.yaml", {"test.parquet": _REALWORLD},
        lambda task, row, settings: task["realworldqa_doc_to_text"](row, settings), _shared,
    ),
    Case(
        "motionbench", "motionbench/utils.py", "motionbench/_default_template_yaml", {"video_info.meta.jsonl": _MOTION},
        _motionbench, lambda task, row, text: float(task["_extract_choice_letter"](text) == "B"),
    ),
    Case(
        "tempcompass", "tempcompass/utils.py", "tempcompass/_default_template_yaml",
        {
            "multi-choice/test.parquet": _COMPASS, "yes_no/test.parquet": _COMPASS_YES,
            "caption_matching/test.parquet": _COMPASS_MATCH,
        },
        lambda task, row, settings: task["tempcompass_doc_to_text_multi_choice"](row, settings), _judged,
    ),
    Case(
        "tomato", "tomato/utils.py", "tomato/tomato.yaml", {"test.parquet": _TOMATO},
        lambda task, row, settings: task["construct_prompt"](row["question"], row["options"])[0], _tomato,
    ),
)  # fmt: skip

_WORDS: Final = (
    "A", "B", "C", "D", "E", "(A)", "(B)", "(c)", "B.", "C:", "D)", "b", "The answer is", "the best option is",
    "Answer:", "Best answer:", "i choose", "A man", "Bananas", "I Don't know", "down", "up", "B. down", "A) up",
    "</think>", "1,000", "red; blue", "\n", ".", ",", "'", '"', "(", ")", "-", "\u7b54\u6848\u662f", "\uff22", "\u3000",
    "x", "y",
)  # fmt: skip


def take(wheel: zipfile.ZipFile, module: str) -> Functions:
    """A task's functions and constants, without what it imports beyond the standard library."""
    found: Functions = {"re": re, "random": random.Random(0), "string": string, "json": json}
    found |= {name: getattr(typing, name) for name in ("Any", "Dict", "List", "Optional", "Tuple")}
    for path in (f"{_TASKS}/_task_utils/mcq_extract.py", f"{_TASKS}/{module}"):
        top = ast.parse(wheel.read(path)).body
        # Methods that use nothing of their object are taken as functions.
        methods = [part for node in top if isinstance(node, ast.ClassDef) for part in node.body]
        for node in (*top, *methods):
            plain = isinstance(node, ast.Assign) and not any(isinstance(part, ast.With) for part in ast.walk(node))
            if isinstance(node, ast.FunctionDef) or plain:
                try:
                    exec(compile(ast.Module([node], []), path, "exec"), found)
                except (NameError, KeyError):
                    # Constants that need what is not imported are not needed here either.
                    continue
    # TOMATO asks numpy for the place of the largest.
    found["np"] = argparse.Namespace(argmax=lambda values: values.index(max(values)))
    return found


def read_settings(wheel: zipfile.ZipFile, path: str) -> Any:
    """The task's settings for any model; lines with functions are no plain YAML."""
    lines = wheel.read(f"{_TASKS}/{path}").decode().splitlines()
    content = yaml.safe_load("\n".join(line for line in lines if "!function" not in line))
    settings = (content.get("lmms_eval_specific_kwargs") or {"default": {}}).get("default", {})
    return settings


def load(case: Case, folder: Path) -> Item:
    """The first item of the case's files, as our benchmark loads it."""
    for name, row in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
        else:
            path.write_text(json.dumps([row] if path.suffix == ".json" else row) + "\n", encoding="utf-8")
    return benchmark(case.name).load(folder)[0]


def random_text(rng: random.Random) -> str:
    """An answer of up to six parts, joined with or without blanks."""
    return "".join(rng.choice(_WORDS) + rng.choice((" ", "", "\n")) for _ in range(rng.randint(0, 6)))


def compare(wheel: zipfile.ZipFile, case: Case, texts: Sequence[str]) -> dict[str, Any]:
    """One row of the table."""
    functions, settings = take(wheel, case.module), read_settings(wheel, case.settings)
    ours, asked = benchmark(case.name), next(iter(case.files.values()))
    with tempfile.TemporaryDirectory() as folder:
        item = load(case, Path(folder))
    wrong = []
    if case.points is not None:
        wrong = [text for text in texts if case.points(functions, asked, text) != ours.harness_points(text, item)]
    return {
        "benchmark": case.name,
        "same prompt": None if case.prompt is None else case.prompt(functions, asked, settings) == ours.prompt(item),
        "texts": 0 if case.points is None else len(texts),
        "other points": len(wrong),
        "first": wrong[0] if wrong else None,
    }


def main() -> None:
    """Print one row per benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    texts = [random_text(rng) for _ in range(options.texts)]
    with zipfile.ZipFile(options.wheel) as wheel:
        rows = [compare(wheel, case, texts) for case in CASES]
    if options.json:
        print(json.dumps({"rows": rows}))
    else:
        for row in rows:
            prompt = "the same prompt" if row["same prompt"] else "ANOTHER PROMPT"
            points = f"{row['other points']} of {row['texts']} texts get other points"
            print(f"{row['benchmark']:16} {prompt:16} {points if row['texts'] else 'a model judges'}")
            if row["first"] is not None:
                print(f"{'':16} the first: {row['first']!r}")
    if any(row["other points"] or row["same prompt"] is False for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
