"""Values that may be needed again, within a bound on memory."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """Values by key, at most so many bytes of them; what was used longest ago goes first. For any number of threads.

    Args:
        most: bound in bytes; 0 keeps nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._working: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()

    @property
    def most(self) -> int:
        """The bound in bytes."""
        return self._most

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def get(self, key: Hashable) -> Value | None:
        """The value of a key, if it is there."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value of `size` bytes, unless that alone is more than the bound."""
        with self._lock:
            if key in self._values:
                self._held -= self._values.pop(key)[1]
            if size > self._most:
                return
            self._values[key] = value, size
            self._held += size
            while self._held > self._most:
                self._held -= self._values.popitem(last=False)[1][1]

    @contextmanager
    def alone(self, key: Hashable) -> Iterator[None]:
        """Let one thread at a time make a key's value; others that want it find it there when their turn comes."""
        with self._lock:
            lock = self._working.setdefault(key, threading.Lock())
        with lock:
            yield
