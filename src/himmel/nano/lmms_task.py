"""Questions about rendered clips as a task of lmms-eval, which it reads by `--include_path`."""

import json
from pathlib import Path
from typing import Final

from himmel._files import atomic_path

TASK: Final = "himmel_clips"

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
_FUNCTIONS: Final = '''\
"""Functions of the task, written by `himmel nano clips`."""

from pathlib import Path


def doc_to_visual(doc):
    return [str(Path(__file__).parent / doc["video"])]


def doc_to_target(doc):
    return doc["choices"].index(doc["answer"])
'''


def write_task(questions: Path) -> None:
    """Write `himmel_clips.yaml` and `himmel_clips.py` beside a file of questions.

    Raises:
        HimmelError: they cannot be written.
    """
    # A path in double quotes is YAML as it is JSON.
    settings = _SETTINGS.format(questions=json.dumps(str(questions.resolve())), task=TASK)
    for suffix, content in ((".py", _FUNCTIONS), (".yaml", settings)):
        with atomic_path(questions.with_name(f"{TASK}{suffix}")) as file:
            file.write_text(content, encoding="utf-8")
