"""What a model adds to its host's network, so that it can be taken off and put on again (report, I.5)."""

from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from himmel.hosts import Host
from himmel.model.config import HimmelConfig
from himmel.model.injection import MotionInjector
from himmel.model.lora import add_lora, fold_lora, lora_layers


class Attachment:
    """LoRA layers, the injection's hook and the trained parts of the host, on a network.

    Taken off, the network is the host as it was loaded: the very same layers with the very same weights, no hook, and
    nothing that another user of it could notice. Putting on brings everything back, trained or not.

    Args:
        config: says what is added.
        host: the network's host.
        network: its weights; what is on it stays on it.
    """

    def __init__(self, config: HimmelConfig, host: Host, network: PreTrainedModel) -> None:
        self._network = network
        self.injector = MotionInjector(network, host.motion_token_id)
        # A host that comes from the checkpoint itself has no other weights to go back to.
        parts = {} if config.own_language_model else host.trained_parts(network)
        self._part_tensors = [tensor for part in parts.values() for tensor in part.state_dict(keep_vars=True).values()]
        self._set_aside = [tensor.detach().clone() for tensor in self._part_tensors]
        self.lora = None
        if config.lora_rank:
            self.lora = add_lora(
                network,
                targets=host.lora_targets,
                rank=config.lora_rank,
                alpha=config.lora_alpha,
                dropout=config.lora_dropout,
            )
        self._layers = lora_layers(network)
        self.is_on = True

    def take_off(self) -> None:
        """Leave the network as it was loaded; nothing happens where that is so already."""
        if not self.is_on:
            return
        self.is_on = False
        self.injector.remove()
        self._swap_parts()
        for name, layer in self._layers.items():
            self._network.set_submodule(name, layer.get_base_layer())
        if self._layers:
            # PEFT's own note on the network, by which it would take a second LoRA for one beside the first.
            self._peft_config = cast(Any, self._network).peft_config
            del cast(Any, self._network).peft_config

    def put_on(self) -> None:
        """Bring back what `take_off` took; nothing happens where it is on already."""
        if self.is_on:
            return
        self.is_on = True
        self.injector.install(self._network)
        self._swap_parts()
        for name, layer in self._layers.items():
            self._network.set_submodule(name, cast(nn.Module, layer))
        if self._layers:
            cast(Any, self._network).peft_config = self._peft_config

    def merge(self) -> None:
        """Fold LoRA into the host's weights, which are the model's own from then on; the injection stays on.

        Raises:
            HostError: see `fold_lora`; nothing has changed then.
        """
        self.put_on()
        fold_lora(self._layers)
        for name, layer in self._layers.items():
            self._network.set_submodule(name, layer.get_base_layer())
        if self._layers:
            del cast(Any, self._network).peft_config
        self.lora, self._layers, self._part_tensors, self._set_aside = None, {}, [], []

    def _swap_parts(self) -> None:
        """Exchange the host parts' weights for those set aside; the parameters stay the same objects to optimisers."""
        for place, tensor in enumerate(self._part_tensors):
            incoming = self._set_aside[place].to(tensor.device, tensor.dtype)
            self._set_aside[place], tensor.data = tensor.data, incoming
