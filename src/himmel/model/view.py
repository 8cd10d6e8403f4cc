"""A second network over the same weights: the host as it was loaded, beside a model that has changed it."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from himmel.model.lora import lora_layers


def share_weights(network: PreTrainedModel) -> PreTrainedModel:
    """A new tree of modules over the very tensors of `network`, which stays as it is.

    The view is the host alone: where `network` has LoRA the view has the linear layers beneath, and hooks are left out,
    save those with which transformers itself hands out hidden states to whoever asks. Its configuration is a copy, so
    that what is set there shows in the view alone. Weights that change later change in both.

    Args:
        network: any of the hosts' classes; on one device, spread over several or packed into 4 bits.

    Returns:
        A network of the same class, in the same mode (training or inference) as `network`.
    """
    memo: dict[int, Any] = {id(parameter): parameter for parameter in network.parameters()}
    for module in network.modules():
        for hooks in _hooks(module):
            memo[id(hooks)] = OrderedDict((key, hook) for key, hook in hooks.items() if _is_transformers_own(hook))
    layers = lora_layers(network)
    with _SharedTensors():
        for layer in layers.values():
            memo[id(layer)] = copy.deepcopy(layer.get_base_layer(), memo)
        view = copy.deepcopy(network, memo)
    if layers:
        # PEFT's own note on a network that has LoRA.
        del view.peft_config
    return view


class _SharedTensors(TorchFunctionMode):
    """Has tensors that are no parameters (buffers, what quantised layers keep) copied as references."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        del types
        return args[0] if func is Tensor.__deepcopy__ else func(*args, **(kwargs or {}))


def _hooks(module: nn.Module) -> Iterator[dict[int, Callable[..., Any]]]:
    yield from (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)


def _is_transformers_own(hook: Callable[..., Any]) -> bool:
    return hook.__module__.startswith("transformers.")
