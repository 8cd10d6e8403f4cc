r"""Our answers beside lmms-eval's, question by question, on the rendered clips.

    himmel nano clips -o clips
    himmel eval clips/questions.jsonl --method dense -o RUN
    python -m lmms_eval --include_path clips --tasks himmel_clips --model himmel --force_simple \
        --model_args method=dense,scoring=prior --log_samples --output_path LOG
    python -m benchmarks.lmms_eval_answers clips RUN LOG [--json]

Counts the questions that both call right or both wrong, and gives the largest difference between the scores of an
option. Exits with 1 if a question is missing on one side or judged differently.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from himmel.nano.lmms_task import TASK

Line = dict[str, Any]


def read_lines(path: Path) -> list[Line]:
    """A file with one JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def compare(clips: Path, run: Path, log: Path) -> dict[str, Any]:
    """What this module prints."""
    ids = [line["id"] for line in read_lines(clips / "questions.jsonl")]
    ours = {line["id"]: line for line in read_lines(run / "answers.jsonl")}
    newest = max(log.rglob(f"*_samples_{TASK}.jsonl"), key=lambda path: path.stat().st_mtime)
    theirs = {ids[line["doc_id"]]: line for line in read_lines(newest)}
    both = sorted(ours.keys() & theirs.keys())
    differences = [
        # lmms-eval takes the lowest, so that scores have the other sign there.
        abs(score + float(response[0]))
        for name in both
        for score, response in zip(ours[name]["scores"] or [], theirs[name]["filtered_resps"], strict=True)
    ]
    return {
        "questions": len(both),
        "only ours": len(ours) - len(both),
        "only theirs": len(theirs) - len(both),
        "judged the same": sum(ours[name]["points"] == theirs[name]["acc"] for name in both),
        "right, ours": sum(ours[name]["points"] for name in both),
        "right, theirs": sum(theirs[name]["acc"] for name in both),
        "largest difference of a score": max(differences, default=0.0),
    }


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = compare(options.clips, options.run, options.log)
    if options.json:
        print(json.dumps(found))
    else:
        for name, number in found.items():
            print(f"{name:32} {number:g}")
    alike = found["judged the same"] == found["questions"] > 0
    if not alike or found["only ours"] or found["only theirs"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
