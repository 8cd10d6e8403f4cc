"""transformers without its notices and bars where this project calls it; the caller's own settings stay as they are."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from transformers.utils import logging as transformers_logging

_Bar = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' notices and bars away within the block, in this thread alone; downloads still show theirs."""
    before = _is_quiet.set(True)
    _switch.enter()
    try:
        yield
    finally:
        _switch.leave()
        _is_quiet.reset(before)


class _DropNotices(logging.Filter):
    """Drops what is below an error, for threads that are quiet."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or not _is_quiet.get()


class _Switch:
    """Filter and hook are there while any thread is in a quiet block; for the others they change nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filter = _DropNotices()
        self._handlers: list[logging.Handler] = []
        self._hook: _Bar | None = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._handlers = list(logging.getLogger("transformers").handlers)
            for handler in self._handlers:
                handler.addFilter(self._filter)
            self._hook = transformers_logging.set_tqdm_hook(self._make_bar)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside:
                return
            for handler in self._handlers:
                handler.removeFilter(self._filter)
            transformers_logging.set_tqdm_hook(self._hook)

    def _make_bar(self, factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _is_quiet.get():
            return factory(*args, **{**kwargs, "disable": True})
        return factory(*args, **kwargs) if self._hook is None else self._hook(factory, args, kwargs)


_is_quiet: ContextVar[bool] = ContextVar("is_quiet", default=False)
_switch = _Switch()
