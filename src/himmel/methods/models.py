"""The models that a session asks: with its adapter, or the host alone over the same weights."""

import os
import threading
from importlib.resources import files
from pathlib import Path

import torch

from himmel._garbage import without_collections
from himmel.choices import DeviceMap, Quantization
from himmel.errors import HostError, UsageError
from himmel.hosts import Loading, load_host
from himmel.hosts.nano import NanoHost
from himmel.methods.protocol import Method
from himmel.model.config import HimmelConfig
from himmel.model.host_model import HostModel
from himmel.model.modeling import HimmelForConditionalGeneration
from himmel.model.threads import threads_spin
from himmel.model.view import share_weights

_MAX_ANCHOR_TOKENS = 256


def default_checkpoint() -> Path:
    """The checkpoint folder inside the package: adapter, LoRA and projector for the nano host."""
    return Path(str(files("himmel") / "nano" / "checkpoint"))


def checkpoint_name(folder: str | Path) -> str:
    """What a result calls a checkpoint: its folder, but `nano` for the shipped one, which lies elsewhere everywhere."""
    return "nano" if Path(folder) == default_checkpoint() else str(folder)


class Models:
    """Loads each model at its first use; for any number of threads. Arguments are those of `Session`.

    Attributes:
        config: of the adapter.

    Raises:
        UsageError, HostError: as `Session`.
    """

    def __init__(
        self,
        model: HimmelForConditionalGeneration | None,
        *,
        adapter: str | os.PathLike[str] | None,
        host: str | None,
        device: str | None,
        device_map: DeviceMap | None,
        quantization: Quantization | None,
        max_anchor_tokens: int | None,
    ) -> None:
        given = (adapter, host, device, device_map, quantization)
        if model is not None and any(value is not None for value in given):
            raise UsageError("A model was given together with an adapter, host or device; give one or the other.")
        self._loading = Loading(
            device=_find_device(device) if device_map is None else device,
            device_map=device_map,
            quantization=quantization,
        )
        self._loading.check_machine()
        self._adapted = model
        self._plain: HostModel | None = None
        self._host = host
        self._folder = None if model is not None else str(default_checkpoint() if adapter is None else adapter)
        # A host that was named without an adapter is asked as it is, by methods that need none.
        self._host_alone = host if model is None and adapter is None else None
        self._max_anchor_tokens = max_anchor_tokens or _MAX_ANCHOR_TOKENS
        self.config = model.config if model is not None else HimmelConfig.load(str(self._folder))
        self._lock = threading.RLock()

    @property
    def adapted(self) -> HimmelForConditionalGeneration:
        """The model with its adapter."""
        with self._lock:
            if self._adapted is None:
                with without_collections():
                    self._adapted = HimmelForConditionalGeneration.from_pretrained(
                        str(self._folder), host=self._host, loading=self._loading
                    )
            return self._adapted

    @property
    def plain(self) -> HostModel:
        """The host alone: no LoRA, no hook; nano keeps the projector of the checkpoint."""
        with self._lock:
            if self._plain is None:
                if self._host_alone is not None and not self._fits(self._host_alone):
                    with without_collections():
                        self._plain = HostModel.load(
                            self._host_alone, max_anchor_tokens=self._max_anchor_tokens, loading=self._loading
                        )
                else:
                    model = self.adapted
                    self._plain = HostModel(model.host, share_weights(model.network))
            return self._plain

    def get(self, method: Method) -> HostModel:
        """What a method asks.

        Raises:
            HostError: a host or checkpoint is missing or damaged, or they don't fit.
        """
        return self.adapted if method.needs_adapter else self.plain

    def check(self, method: Method) -> None:
        """See that there is an adapter for the host, before a video is read.

        Raises:
            HostError: there is no such host, or none for this host.
        """
        if self._host_alone is not None and not self._fits(self._host_alone):
            raise HostError(
                f"The method {method.name!r} needs an adapter, and none was named for the host {self._host_alone!r}; "
                "name one that was trained for it, or choose a method that needs none, such as 'dense'."
            )

    def adapter_of(self, method: Method) -> str | None:
        """Folder of the adapter that a method used."""
        return self._folder if method.needs_adapter else None

    def few_threads(self, method: Method) -> int | None:
        """Threads to compute with where nobody said how many; None for as many as torch has."""
        model = self.get(method)
        return model.host.processor_threads if model.device.type == "cpu" and threads_spin() else None

    def _fits(self, host: str) -> bool:
        """Whether the checkpoint in the package was made for this host."""
        found = load_host(host, max_anchor_tokens=self._max_anchor_tokens)
        return found.name == NanoHost.name and found.hidden_size == self.config.adapter.host_hidden_size


def _find_device(name: str | None) -> torch.device:
    place = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=place).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"There is no device {name!r}; name one that `himmel doctor` lists, such as 'cpu'.") from error
