"""What autograd keeps for the backward pass, counted while a model runs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


def kept_bytes(run: Callable[[], object], model: nn.Module, *, casts: bool = False) -> int:
    """Bytes that are kept beyond the model's own weights and buffers, each piece of memory once.

    Args:
        run: the forward pass, with gradients.
        model: whose weights don't count.
        casts: leave out the copies of weights that autocast makes, too.
    """
    own = {one.untyped_storage().data_ptr() for one in (*model.parameters(), *model.buffers())}
    shapes = {tuple(one.shape) for one in model.parameters()} if casts else set()
    shapes |= {shape[::-1] for shape in shapes}
    # The storages are held, or their addresses would be given to others.
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        is_cast = tensor.ndim > 1 and tuple(tensor.shape) in shapes
        if storage.data_ptr() not in own and not is_cast:
            kept[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    del result
    return sum(storage.nbytes() for storage in kept.values())
