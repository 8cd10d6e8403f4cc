"""How many processor threads torch computes with, for one caller alone.

`torch.set_num_threads` is for the whole process: a library that calls it changes what its host program does elsewhere.
OpenMP's own number belongs to the calling thread, and that is what is set here.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Self

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Have the calling thread compute with `count` OpenMP threads within the block; None leaves it as it is."""
    if count is None:
        yield
        return
    # torch sets a thread's number when it first computes there, which would undo what follows.
    torch.get_num_threads()
    with _controller().limit(limits=count, user_api="openmp"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class DecodingThreads(LogitsProcessor):
    """Another number of threads from an answer's first token on, as `generate` calls this when the prompt is read.

    One token's matrices are small: threads wait for each other longer than they compute, and where another process
    uses the processors too, ten times as long. The prompt is many tokens at once, for which threads pay.

    Use it in a `with` block around `generate`; at its end the number is what it was.
    """

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._stack = ExitStack()
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """See `LogitsProcessor`; the scores stay as they are."""
        del input_ids
        if not self._begun:
            self._begun = True
            self._stack.enter_context(torch_threads(self._count))
        return scores

    def as_list(self) -> LogitsProcessorList:
        """In the form that `generate` takes; empty where the number is to stay."""
        return LogitsProcessorList([] if self._count is None else [self])
