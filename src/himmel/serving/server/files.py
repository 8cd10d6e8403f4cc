"""`/v1/files`: uploads by multipart, named in later requests by the hash of their content."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from himmel.serving.server.door import Door, gone, owner_of
from himmel.serving.server.limits import Limits
from himmel.serving.server.metrics import Metrics
from himmel.serving.server.refusal import Refusal
from himmel.serving.server.spool import Spool
from himmel.serving.server.uploads import Upload, Uploads

_PIECE = 2**20


class Files:
    """Takes uploads in.

    Args:
        spool: where they are kept, as long as there is room.
        uploads: who uploaded what.
        door: counts what is brought.
        limits: see `Limits`.
        metrics: told of bytes.
    """

    def __init__(self, *, spool: Spool, uploads: Uploads, door: Door, limits: Limits, metrics: Metrics) -> None:
        self._spool, self._uploads, self._door = spool, uploads, door
        self._limits, self._metrics = limits, metrics

    async def upload(self, request: Request) -> dict[str, Any]:
        """Keep the part `file` of a multipart body; the object `file` of OpenAI's API.

        Raises:
            Refusal: there is no such part, or it is too large, too slow, or empty.
        """
        with self._door.carrying(request) as most:
            try:
                async with asyncio.timeout(self._limits.receive_seconds):
                    parser = _Parser(request.headers, _bounded(request, most), max_files=1, max_fields=8)
                    form = await parser.parse()
            except TimeoutError:
                raise Refusal(
                    408, f"The upload took more than {self._limits.receive_seconds:g} seconds.", code="timeout"
                ) from None
            except ClientDisconnect:
                raise gone() from None
            except (MultiPartException, KeyError, ValueError, AssertionError) as error:
                raise Refusal(400, "The body is no multipart form.", code="invalid_request") from error
            try:
                part = form.get("file")
                if not isinstance(part, UploadFile):
                    raise Refusal(
                        400, "The form has no part 'file' with a file name.", code="invalid_request", param="file"
                    )
                upload = await asyncio.to_thread(self._keep, part, owner_of(request))
            finally:
                await form.close()
        return _describe(upload)

    def all(self, owner: str) -> dict[str, Any]:
        """The objects of a key's uploads that are still kept, the newest first."""
        return {"object": "list", "data": [_describe(upload) for upload in self._uploads.all(owner)], "has_more": False}

    def find(self, file_id: str, owner: str) -> dict[str, Any]:
        """The object of an upload that is still kept.

        Raises:
            Refusal: it is not, or another key brought it.
        """
        return _describe(self._uploads.find(owner, file_id))

    def remove(self, file_id: str, owner: str) -> dict[str, Any]:
        """Remove an upload; requests that are under way keep it until they are answered.

        Raises:
            Refusal: as `find`.
        """
        return {"id": self._uploads.remove(owner, file_id).id, "object": "file", "deleted": True}

    def _keep(self, part: UploadFile, owner: str) -> Upload:
        with self._spool.writing(self._limits.source_bytes) as writer:
            while piece := part.file.read(_PIECE):
                writer.write(piece)
            with writer.kept() as stored:
                self._metrics.bytes_read.labels("upload").inc(stored.size)
                return self._uploads.add(owner, stored, str(part.filename)[:256])


class _Parser(MultiPartParser):
    """Keeps a form in memory, which the door has reserved; a file of its own would be beyond the spool's limit."""

    spool_max_size = max_file_size = 2**62


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """A body that is at most so large."""
    total = 0
    async for piece in request.stream():
        total += len(piece)
        if total > most:
            raise Refusal(413, f"The upload is larger than {most:,} bytes.", code="request_too_large")
        yield piece


def _describe(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "object": "file",
        "bytes": upload.size,
        "created_at": upload.created,
        "filename": upload.name,
        "purpose": "user_data",
        "status": "processed",
    }
