"""How many processor threads torch computes with, for one caller alone.

`torch.set_num_threads` is for the whole process: a library that calls it changes what its host program does elsewhere.
OpenMP's own number belongs to the calling thread, and that is what is set here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


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


def threads_spin() -> bool:
    """Whether OpenMP's threads wait for each other by computing, which is its default.

    That is fast while no other program computes. Beside other work, each waits for one that does not get to run.
    """
    return os.environ.get("OMP_WAIT_POLICY", "").upper() != "PASSIVE"
