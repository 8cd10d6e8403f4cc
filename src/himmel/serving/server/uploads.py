"""Who uploaded what: an upload is there for the API key that brought it, and for no other."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from himmel.serving.server.spool import Spool, Stored, no_such_file

FILE_ID: Final = "file-"
# Uploads beyond those still kept that are looked for before they are cleared away.
_SLACK: Final = 256


@dataclass(frozen=True)
class Upload:
    """An upload.

    Attributes:
        sha256: of its bytes, hexadecimal.
        size: in bytes.
        name: as the client called it.
        created: when it came, in seconds since 1970.
    """

    sha256: str
    size: int
    name: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def id(self) -> str:
        """What requests name it by."""
        return FILE_ID + self.sha256


class Uploads:
    """The uploads of all keys; used by the event loop's thread and by those that bring sources.

    A file that several keys brought is kept once. Its id is the hash of its content, so an id alone must open nothing:
    who has not brought the file is told that it is not there.

    Args:
        spool: where the files are kept, as long as there is room.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._all: dict[tuple[str, str], Upload] = {}
        self._lock = threading.Lock()

    def add(self, owner: str, stored: Stored, name: str) -> Upload:
        """Note that a key brought a file, which is held; who had it before may have removed it meanwhile."""
        upload = Upload(stored.sha256, stored.size, name)
        with self._lock:
            # Behind all others, also where the key brought it before.
            self._all.pop((owner, upload.sha256), None)
            self._all[owner, upload.sha256] = upload
            self._spool.keep(upload.sha256)
            if len(self._all) > 2 * self._spool.num_files + _SLACK:
                for key in list(self._all):
                    if not self._spool.has(key[1]):
                        self._all.pop(key, None)
        return upload

    def all(self, owner: str) -> list[Upload]:
        """A key's uploads that are still kept, the newest first."""
        own = [upload for (who, sha256), upload in list(self._all.items()) if who == owner and self._spool.has(sha256)]
        return own[::-1]

    def find(self, owner: str, file_id: str) -> Upload:
        """One of them.

        Raises:
            Refusal: the key brought no such file, or it was removed.
        """
        upload = self._all.get((owner, file_id.removeprefix(FILE_ID))) if file_id.startswith(FILE_ID) else None
        if upload is None or not self._spool.has(upload.sha256):
            raise no_such_file()
        return upload

    @contextmanager
    def holding(self, owner: str, file_id: str) -> Iterator[Stored]:
        """Keep one of them where it is within the block.

        Raises:
            Refusal: as `find`.
        """
        with self._spool.holding(self.find(owner, file_id).sha256) as stored:
            yield stored

    def remove(self, owner: str, file_id: str) -> Upload:
        """Forget one of them; its file goes once no key and no request has it any more.

        Raises:
            Refusal: as `find`.
        """
        upload = self.find(owner, file_id)
        with self._lock:
            self._all.pop((owner, upload.sha256), None)
            if not any(sha256 == upload.sha256 for _, sha256 in self._all):
                self._spool.discard(upload.sha256)
        return upload
