"""Which backend a video gets: the one that is asked for, or the first that reads the file."""

from typing import NamedTuple

from himmel import choices
from himmel.errors import VideoError
from himmel.video.backends.bitstream import Bitstream
from himmel.video.backends.coviar import Coviar
from himmel.video.backends.libav import Libav
from himmel.video.backends.protocol import Backend
from himmel.video.backends.proxy import Proxy
from himmel.video.file.opened import VideoFile

# In the order in which "auto" tries them, by what a step costs; the last one reads everything that can be decoded.
AUTO: tuple[Backend, ...] = (Bitstream(), Libav(), Proxy())
BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (*AUTO, Coviar())}


class Choice(NamedTuple):
    """A backend, and why it was taken, in a clause."""

    backend: Backend
    reason: str


def candidates(codec: str, asked: choices.Backend) -> list[Backend]:
    """What may read a codec, best first: the one that is asked for, or for "auto" all that can read it."""
    if asked != "auto":
        return [BACKENDS[asked]]
    return [backend for backend in AUTO if backend.codecs is None or codec in backend.codecs]


def choose_backend(file: VideoFile, asked: choices.Backend, *, has_steps: bool) -> Choice:
    """Take the one that is asked for, or try the candidates one after the other.

    Args:
        has_steps: there are pictures besides the anchors; otherwise nothing is tried.

    Raises:
        VideoError: the one that was asked for can't read the file.
    """
    possible = candidates(file.codec, asked)
    if not has_steps:
        # Any of those that only decode will do.
        simplest = next((one for one in possible if one.codecs is None), possible[0])
        return Choice(simplest, "there are no pictures besides the anchors")
    if asked != "auto":
        return _take(possible[0], file)
    refusals: list[tuple[str, str]] = []
    for backend in possible:
        refusal = backend.drawback(file) or backend.why_not(file)
        if refusal is None:
            reason = backend.reason(file, asked=False) or refusals.pop()[1]
            return Choice(backend, "; ".join([reason, *(f"not {name}: {why}" for name, why in refusals)]))
        refusals.append((backend.name, refusal))
    raise AssertionError("the last backend reads any file")


def _take(backend: Backend, file: VideoFile) -> Choice:
    refusal = backend.why_not(file)
    if refusal is None:
        return Choice(backend, backend.reason(file, asked=True))
    following = AUTO[AUTO.index(backend) + 1].name
    raise VideoError(
        f"{str(file.path)!r} cannot be read by backend {backend.name!r}: {refusal}; use 'auto' or {following!r}."
    )
