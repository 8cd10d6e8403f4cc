"""From what a request names to files whose content is known: `data:`, uploads, `file:`, `http(s):`, `live:`."""

import base64
import binascii
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import numpy as np

from himmel.methods.answer import describe_picture
from himmel.methods.protocol import Read, Reading
from himmel.methods.source import Readable
from himmel.serving.server.fetch import Fetcher
from himmel.serving.server.limits import Limits
from himmel.serving.server.messages import Source
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.reading import Medium, Readers
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.spool import Spool, Stored, too_large
from himmel.serving.server.uploads import FILE_ID, Uploads
from himmel.serving.server.watched import LIVE, Watched

# Characters of a data: URL that are decoded at once: all of them at once would take many times their memory.
_PIECE: Final = 2**16
_REMOTE: Final = ("http", "https")
# How pictures begin.
_PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class Nothing(Readable):
    """Neither video nor picture: a question about text alone."""

    def read(self, reading: Reading, *, threads: int | None = None) -> Read:
        """No frame."""
        del reading, threads
        nothing = np.zeros((0, 0, 3), np.uint8)
        return Read((), describe_picture(nothing, path="<nothing>", sha256=sha256(b"").hexdigest()))


class Sources:
    """Brings what requests name; for any number of threads.

    Args:
        spool: where downloads and what requests bring are kept.
        uploads: who uploaded what.
        fetcher: what downloads.
        folders: below which `file:` may name files.
        readers: what reads them later.
        watched: streams that `live:` may name; None for none.
        limits: see `Limits`.
        metrics: told of bytes.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        uploads: Uploads,
        fetcher: Fetcher,
        folders: Sequence[Path],
        readers: Readers,
        limits: Limits,
        metrics: Metrics,
        watched: Watched | None = None,
    ) -> None:
        self._spool, self._uploads, self._fetcher, self._readers = spool, uploads, fetcher, readers
        self._watched = watched
        self._folders = [(folder.absolute(), folder.resolve()) for folder in folders]
        self._limits, self._metrics = limits, metrics

    def bring(self, sources: Sequence[Source], stack: ExitStack, *, owner: str = "", deadline: float = inf) -> Readable:
        """The files of a request as one medium; they stay where they are until `stack` is closed.

        Args:
            sources: of the request.
            stack: see above.
            owner: whose uploads may be named, see `Keys.check`.
            deadline: when the request's time is up, on the clock `time.monotonic`.

        Raises:
            Refusal: a source is not allowed, not there, too large, or they don't go together.
        """
        if not sources:
            return Nothing()
        live = next((source for source in sources if source.url.startswith(LIVE)), None)
        if live is not None:
            return self._live(live, len(sources), stack)
        stored, kinds = [], []
        for source in sources:
            try:
                found = self._bring(source, stack, owner, deadline)
            except Refusal as error:
                error.param = error.param or source.param
                raise
            stored.append(found)
            kinds.append(source.kind or _kind_of(found.path))
        if len(kinds) > 1 and "video" in kinds:
            raise Refusal(
                400,
                f"{len(kinds)} videos and pictures came; one request is about one video, or about pictures alone.",
                code="too_many_sources",
                param="messages",
            )
        return Medium(
            kind="video" if kinds[0] == "video" else "pictures",
            sha256=tuple(one.sha256 for one in stored),
            start=sources[0].start,
            end=sources[0].end,
            paths=tuple(one.path for one in stored),
            readers=self._readers,
        )

    def _live(self, source: Source, count: int, stack: ExitStack) -> Medium:
        """The last minutes of a watched stream, or a stretch of them."""
        if count > 1 or source.kind != "video":
            raise Refusal(
                400,
                "live: names one video; ask about it by video_url, and about nothing else in the same request.",
                code="invalid_value",
                param=source.param,
            )
        try:
            if self._watched is None:
                raise Refusal(404, "No stream is watched here; start the server with --watch.", code="no_such_stream")
            window = stack.enter_context(self._watched.window(source.url.removeprefix(LIVE)))
            start, end = window.stretch(source.start, source.end)
        except Refusal as error:
            error.param = error.param or source.param
            raise
        return Medium(
            kind="video",
            sha256=(window.file.sha256,),
            start=start,
            end=end,
            paths=(window.file.path,),
            readers=self._readers,
            window=window.span,
        )

    def _bring(self, source: Source, stack: ExitStack, owner: str, deadline: float) -> Stored:
        url = source.url
        scheme = _scheme(url)
        if url.startswith(FILE_ID):
            return stack.enter_context(self._uploads.holding(owner, url))
        if scheme == "data":
            return self._keep(_decode(url), stack)
        if scheme == "file":
            return self._local(url)
        if scheme in _REMOTE:
            return self._fetch(url, stack, deadline)
        raise Refusal(
            400,
            "A source is named by data:, file:, http:, https:, live: or the id of an upload to /v1/files.",
            code="invalid_url",
        )

    def _keep(self, data: bytes, stack: ExitStack) -> Stored:
        with self._spool.writing(self._limits.source_bytes) as writer:
            writer.write(data)
            stored = stack.enter_context(writer.kept())
            self._metrics.bytes_read.labels("data").inc(stored.size)
            return stored

    def _fetch(self, url: str, stack: ExitStack, deadline: float) -> Stored:
        with self._spool.writing(self._limits.source_bytes) as writer:
            self._fetcher.fetch(url, writer.write, deadline=deadline)
            stored = stack.enter_context(writer.kept())
            self._metrics.bytes_read.labels("http").inc(stored.size)
            return stored

    def _local(self, url: str) -> Stored:
        try:
            target = urlsplit(url)
        except ValueError:
            raise _not_allowed() from None
        path = Path(unquote(target.path))
        named = [real for folder, real in self._folders if path.is_relative_to(folder) or path.is_relative_to(real)]
        if target.netloc not in ("", "localhost") or "\0" in str(path) or ".." in path.parts or not named:
            raise _not_allowed()
        try:
            real = path.resolve(strict=True)
            state = real.stat()
        except (OSError, RuntimeError) as error:
            raise Refusal(404, "There is no such file; check its path.", code="no_such_file") from error
        # A link may lead out of the folder.
        if not any(real.is_relative_to(folder) for folder in named):
            raise _not_allowed()
        if not stat.S_ISREG(state.st_mode):
            raise Refusal(400, "The path names no file; name a video.", code="no_such_file")
        if state.st_size > self._limits.source_bytes:
            raise too_large(self._limits.source_bytes)
        try:
            stored = self._spool.hash_of(real, self._limits.source_bytes)
        except OSError as error:
            raise Refusal(403, "The server may not read this file.", code="path_not_allowed") from error
        self._metrics.bytes_read.labels("file").inc(stored.size)
        return stored


def _decode(url: str) -> bytes:
    """The bytes of a data: URL (RFC 2397)."""
    head, comma, data = url.partition(",")
    try:
        if not comma:
            raise ValueError
        if head.lower().endswith(";base64"):
            return base64.b64decode(data, validate=True)
        return b"".join(unquote_to_bytes(piece) for piece in _pieces(data))
    except (ValueError, binascii.Error):
        raise Refusal(
            400,
            "The data: URL cannot be decoded; write data:video/mp4;base64, and the bytes in base64.",
            code="invalid_url",
        ) from None


def _pieces(data: str) -> Iterator[str]:
    """A text in pieces that end before or behind a character that is written as %41."""
    begin = 0
    while begin < len(data):
        end = begin + _PIECE
        sign = data.rfind("%", end - 2, end)
        end = sign if sign >= 0 else end
        yield data[begin:end]
        begin = end


def _scheme(url: str) -> str:
    return url[:10].partition(":")[0].lower()


def is_remote(source: Source) -> bool:
    """Whether another host has to be asked for it."""
    return _scheme(source.url) in _REMOTE


def _kind_of(path: Path) -> Literal["video", "picture"]:
    with path.open("rb") as file:
        begin = file.read(16)
    is_picture = begin.startswith(_PICTURES) or (begin[:4] == b"RIFF" and begin[8:12] == b"WEBP")
    return "picture" if is_picture else "video"


def _not_allowed() -> Refusal:
    return Refusal(
        403,
        "Files outside the server's media folders cannot be named; send the file as a data: URL or by /v1/files.",
        code="path_not_allowed",
    )
