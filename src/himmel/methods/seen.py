"""What a host's vision part makes of a video's pictures, kept so that a second question does not look again."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.hosts import Host
from himmel.methods.cache import BoundedCache
from himmel.methods.protocol import Shown
from himmel.model.host_model import HostModel


class SeenPictures:
    """Features of pictures by key, at most so many bytes of them, in the processor's memory; for any number of threads.

    They are the same with an adapter and without: LoRA changes the language model alone.

    Args:
        most: bound in bytes; 0 keeps nothing.
    """

    def __init__(self, most: int) -> None:
        self._kept: BoundedCache[BaseModelOutputWithPooling] = BoundedCache(most)

    def see(self, model: HostModel, shown: Shown, key: Hashable) -> tuple[Shown, bool]:
        """The same with the features of its pictures, and whether they had to be made.

        Args:
            model: whose vision part looks.
            shown: what it is shown.
            key: equal for equal pictures; None keeps nothing.
        """
        if not shown.sample.images:
            return shown, False
        if key is None:
            return replace(shown, vision=_look(model, shown)), True
        with self._kept.alone(key):
            found = self._kept.get(key)
            if found is not None:
                return replace(shown, vision=_move(found, model.device, model.host)), False
            made = _look(model, shown)
            kept = _move(made, torch.device("cpu"), model.host)
            self._kept.put(key, kept, sum(tensor.nbytes for tensor in _tensors(kept, model.host)))
        return replace(shown, vision=made), True


@torch.no_grad()
def _look(model: HostModel, shown: Shown) -> BaseModelOutputWithPooling:
    seen = model.see(model.host.join_images([shown.sample.images]))
    return join_vision([cast(BaseModelOutputWithPooling, seen)], model.host)


def join_vision(seen: Sequence[BaseModelOutputWithPooling], host: Host) -> BaseModelOutputWithPooling:
    """Features of several videos' pictures as if the host had looked at all of them at once.

    Args:
        seen: at least one.
        host: whose they are. Where its tower's maps are an adapter's context, those are joined too; else they are left
            out.
    """
    sets = [_sets(one, host) for one in seen]
    numbers = iter(range(len(sets[0])))

    def put_together(_: Sequence[Tensor]) -> list[Tensor]:
        number = next(numbers)
        return [tensor for own in sets for tensor in own[number]]

    joined = host.exchange_features(seen[0], put_together)
    if host.tower_map is not None:
        joined.last_hidden_state = cast(Any, torch.cat([cast(Tensor, one.last_hidden_state) for one in seen]))
    return joined


def _move(vision: BaseModelOutputWithPooling, device: torch.device, host: Host) -> BaseModelOutputWithPooling:
    moved = host.exchange_features(vision, lambda pictures: [one.to(device) for one in pictures])
    if host.tower_map is not None:
        moved.last_hidden_state = cast(Any, cast(Tensor, vision.last_hidden_state).to(device))
    return moved


def _sets(vision: BaseModelOutputWithPooling, host: Host) -> list[list[Tensor]]:
    """Each set of features that the network takes, picture by picture."""
    sets: list[list[Tensor]] = []

    def note(pictures: Sequence[Tensor]) -> list[Tensor]:
        sets.append(list(pictures))
        return list(pictures)

    host.exchange_features(vision, note)
    return sets


def _tensors(vision: BaseModelOutputWithPooling, host: Host) -> list[Tensor]:
    found = [tensor for one in _sets(vision, host) for tensor in one]
    return found if host.tower_map is None else [*found, cast(Tensor, vision.last_hidden_state)]
