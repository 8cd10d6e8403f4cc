"""Work of backends, done by the workers that read files."""

from functools import partial

from himmel.video.backends.protocol import Extract, Work, merge
from himmel.video.file.workers import Decoders, run_tasks


def run_work(work: list[Work], threads: int) -> Extract:
    """Do all work with up to `threads` workers, each with decoders of its own."""
    return merge(run_tasks([partial(_do, task=task) for task in work], threads))


def _do(decoders: Decoders, *, task: Work) -> Extract:
    decoder = decoders.get(task.file.path, task.file.index, vectors=task.vectors)
    return merge(task.read(decoder, segment) for segment in task.segments)
