"""What a model has made of videos before, so that a second question about one is cheap."""

from collections.abc import Hashable
from dataclasses import replace

from himmel.methods.cache import BoundedCache
from himmel.methods.prefixes import Past, Prefix
from himmel.methods.prepared import Prepared
from himmel.methods.protocol import Method, Shown
from himmel.methods.seen import SeenPictures
from himmel.model.host_model import HostModel


class VideoMemory:
    """Features of pictures, and keys and values of prompts' beginnings; for any number of threads.

    Args:
        seen_bytes: bound of the features.
        prompt_bytes: bound of the keys and values.
    """

    def __init__(self, seen_bytes: int, prompt_bytes: int) -> None:
        self._seen = SeenPictures(seen_bytes)
        self._prompts: BoundedCache[Prefix] | None = BoundedCache(prompt_bytes) if prompt_bytes else None

    def see(self, model: HostModel, method: Method, prepared: Prepared) -> tuple[Shown, bool]:
        """What a model is shown of a video, with what it has made of it before; and whether it had to look at it.

        Pictures that are in a known prompt are not looked at.

        Args:
            model: of the method.
            method: how it is asked.
            prepared: the video.
        """
        # Other options of a method may show the same pictures in another order.
        key: Hashable = None if prepared.key is None else (prepared.key, method)
        past = Past(None if key is None else self._prompts, key)
        shown = replace(prepared.shown, past=past)
        if past.find() is not None:
            return shown, False
        return self._seen.see(model, shown, prepared.key)
