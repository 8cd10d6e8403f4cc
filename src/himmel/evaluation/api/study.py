"""A study (`himmel.evaluation.study`) by a model behind an API."""

from collections.abc import Mapping
from dataclasses import replace

from himmel._text import by_number
from himmel.evaluation.api.run import ApiAsker, run_by_api
from himmel.evaluation.runs.record import ANSWERS, read_rows, spent_on
from himmel.evaluation.study import Asking, Study, StudyRun, compare_first, describe_run
from himmel.methods.protocol import Method


def study_by_api(asking: Asking, methods: Mapping[str, Method], asker: ApiAsker) -> Study:
    """Ask a model behind an API, one method after the other in place of the asker's own; see `run_by_api`.

    A limit on spending is one for the whole study, earlier runs of it included.

    Raises:
        UsageError, HimmelError: as `run_by_api`.
    """
    # Before anything is asked, since a method may be refused.
    askers = {name: replace(asker, method=method) for name, method in methods.items()}
    spent = sum(spent_on(read_rows(asking.folder / name / ANSWERS)) for name in methods)
    runs: dict[str, StudyRun] = {}
    for name, one in askers.items():
        folder = asking.folder / name
        done = run_by_api(
            asking.benchmark,
            asking.items,
            name=asking.name,
            data=asking.data,
            folder=folder,
            asker=one,
            spent=spent,
        )
        spent = done.asked.spent
        runs[name] = describe_run(folder, done.rows, done.summary, done.asked.unanswered)
        if done.asked.stopped is not None:
            return Study(runs, compare_first(runs), done.asked.stopped)
    return Study(runs, compare_first(runs), _say_unanswered(runs))


def _say_unanswered(runs: Mapping[str, StudyRun]) -> str | None:
    missing = [(name, *first) for name, run in runs.items() for first in run.unanswered.items()]
    if not missing:
        return None
    name, question, reason = missing[0]
    number = by_number(len(missing), "{} question has", "{} questions have")
    return (
        f"{number} no answer yet, the first {question!r} of run {name!r} ({reason.rstrip('.')}); run it again to ask."
    )
