"""Python's garbage collector, kept from looking through a million new objects of which none is garbage."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """Collect no garbage while the block runs, in no thread, for imports and for loading a model.

    Both make objects that stay. Counting through them each time that some more have been made is a sixth of what both
    take together (`python -m benchmarks.ask_time`).
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def leave_the_rest_to_the_system() -> None:
    """Have Python end without a last collection, which takes a second once torch and transformers are loaded.

    Objects that hold files and the like are closed by then, or by the system, as after any other end.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
