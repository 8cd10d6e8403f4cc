"""Questions about rendered clips as a task of lmms-eval, which it reads by `--include_path`."""

import json
from pathlib import Path
from typing import Final

from himmel._files import atomic_path

TASK: Final = "himmel_clips"
# The same questions for models that write, such as one behind an API.
WRITTEN_TASK: Final = "himmel_clips_written"

# The question alone is the prompt, and the options' likelihoods are compared, as `himmel eval` does by default.
_SETTINGS: Final = """\
# Written by `himmel nano clips`; call it again if the folder has moved.
dataset_path: json
dataset_kwargs: {{data_files: {{test: {questions}}}}}
task: {task}
test_split: test
output_type: multiple_choice
doc_to_visual: !function {task}.doc_to_visual
doc_to_text: question
doc_to_target: !function {task}.doc_to_target
doc_to_choice: choices
target_delimiter: ""
metric_list:
  - metric: acc
metadata: {{version: 1}}
"""
_WRITTEN: Final = """\
# Written by `himmel nano clips`; call it again if the folder has moved.
dataset_path: json
dataset_kwargs: {{data_files: {{test: {questions}}}}}
task: {task}
test_split: test
output_type: generate_until
doc_to_visual: !function {functions}.doc_to_visual
doc_to_text: !function {functions}.doc_to_text
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 16, do_sample: false}}
process_results: !function {functions}.process_results
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata: {{version: 1}}
"""
_FUNCTIONS: Final = '''\
"""Functions of the task, written by `himmel nano clips`."""

from pathlib import Path


def doc_to_visual(doc):
    return [str(Path(__file__).parent / doc["video"])]


def doc_to_target(doc):
    return doc["choices"].index(doc["answer"])


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"] + "\\nAnswer with one of: " + ", ".join(doc["choices"]) + "."


def process_results(doc, results):
    said = results[0].casefold()
    # Right is an answer that names the right option and no other.
    return {"acc": float([choice for choice in doc["choices"] if choice.casefold() in said] == [doc["answer"]])}
'''


def write_task(questions: Path) -> None:
    """Write `himmel_clips.yaml`, `himmel_clips_written.yaml` and `himmel_clips.py` beside a file of questions.

    Raises:
        HimmelError: they cannot be written.
    """
    # A path in double quotes is YAML as it is JSON.
    listed = json.dumps(str(questions.resolve()))
    files = {
        f"{TASK}.py": _FUNCTIONS,
        f"{TASK}.yaml": _SETTINGS.format(questions=listed, task=TASK),
        f"{WRITTEN_TASK}.yaml": _WRITTEN.format(questions=listed, task=WRITTEN_TASK, functions=TASK),
    }
    for name, content in files.items():
        with atomic_path(questions.with_name(name)) as file:
            file.write_text(content, encoding="utf-8")
