"""Who uses the page, and their videos: each browser sees its own, and what nobody uses any more is removed."""

import secrets
import time
from collections import Counter, OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import Literal

from himmel.serving.server.refusal import Refusal, too_many
from himmel.serving.server.spool import Spool, Stored
from himmel.video.view.marks import Scale

Kind = Literal["task", "look", "upload"]
"""What is counted apart: reading a time line or asking, looking at pictures, and sending a video."""


@dataclass(eq=False)
class Shown:
    """A video on somebody's page.

    Attributes:
        id: by which the page names it.
        name: of the file, as the browser told it.
        stored: where it lies.
        held: lets go of the file when it is closed.
        scale: of its colours, once its time line was read.
    """

    id: str
    name: str
    stored: Stored
    held: ExitStack
    scale: Scale | None = None

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.stored.path


@dataclass(eq=False)
class Visitor:
    """One browser.

    Attributes:
        token: of its cookie.
        seen: when it was heard of last, on the clock `time.monotonic`.
        videos: by their ids, the oldest first.
        busy: how many things of each kind are under way for it.
    """

    token: str
    seen: float
    videos: "OrderedDict[str, Shown]" = field(default_factory=OrderedDict)
    busy: "Counter[Kind]" = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def begin(self, kind: Kind, most: int) -> None:
        """Count one more of a kind, which `end` ends.

        Raises:
            Refusal: as many as `most` are under way.
        """
        with self._lock:
            if self.busy[kind] >= most:
                raise too_many("Your earlier request is still being worked on; wait for its end.")
            self.busy[kind] += 1

    def end(self, kind: Kind) -> None:
        """One less of a kind."""
        with self._lock:
            self.busy[kind] -= 1


class Visitors:
    """All browsers, by a random token that each keeps as a cookie; for any number of threads.

    Args:
        spool: where uploads are.
        most: browsers at once.
        videos: of each browser; a further one takes the place of the oldest.
        patience: seconds after which a browser that is not heard of is forgotten, and its videos removed.
    """

    def __init__(self, spool: Spool, *, most: int = 64, videos: int = 3, patience: float = 1800.0) -> None:
        self._spool, self._most, self._videos, self._patience = spool, most, videos, patience
        self._known: OrderedDict[str, Visitor] = OrderedDict()
        self._lock = RLock()

    def welcome(self, token: str | None) -> Visitor:
        """The browser with a token, or a new one.

        Raises:
            Refusal: there are too many.
        """
        with self._lock:
            self.forget()
            found = self._known.get(token or "")
            if found is None:
                if len(self._known) >= self._most and not self._forget_an_empty_one():
                    raise too_many(f"{self._most} browsers use this page already; try again in some minutes.")
                found = Visitor(secrets.token_urlsafe(32), time.monotonic())
                self._known[found.token] = found
            found.seen = time.monotonic()
            return found

    def find(self, token: str | None) -> Visitor:
        """The browser with a token.

        Raises:
            Refusal: there is none.
        """
        with self._lock:
            found = self._known.get(token or "")
            if found is None:
                raise Refusal(403, "The page was idle for too long; load it again.", code="unknown_visitor")
            found.seen = time.monotonic()
            return found

    def add(self, visitor: Visitor, name: str, stored: Stored, held: ExitStack) -> Shown:
        """Give a browser a video, which `held` keeps until it is let go of."""
        shown = Shown(secrets.token_urlsafe(12), name, stored, held)
        with self._lock:
            visitor.videos[shown.id] = shown
            while len(visitor.videos) > self._videos:
                self.drop(visitor, next(iter(visitor.videos)))
        return shown

    def video(self, visitor: Visitor, name: str) -> Shown:
        """A browser's own video.

        Raises:
            Refusal: it has none of that name.
        """
        with self._lock:
            found = visitor.videos.get(name)
        if found is None:
            raise Refusal(404, "This video is not here any more; choose it again.", code="no_such_video")
        return found

    def drop(self, visitor: Visitor, name: str) -> None:
        """Remove a browser's video, and its file unless somebody else has the same."""
        with self._lock:
            shown = visitor.videos.pop(name, None)
        if shown is not None:
            shown.held.close()
            self._spool.discard(shown.stored.sha256)

    def _forget_an_empty_one(self) -> bool:
        """Make room: a browser that has no video loses nothing. Whether there was one."""
        empty = [one for one in self._known.values() if not one.videos and not one.busy.total()]
        if empty:
            del self._known[min(empty, key=lambda one: one.seen).token]
        return bool(empty)

    def forget(self) -> None:
        """Let go of browsers that were not heard of for long and have nothing under way."""
        with self._lock:
            last = time.monotonic() - self._patience
            gone = [one for one in self._known.values() if one.seen < last and not one.busy.total()]
            for visitor in gone:
                for name in list(visitor.videos):
                    self.drop(visitor, name)
                del self._known[visitor.token]
