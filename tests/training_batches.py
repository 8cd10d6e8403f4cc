"""Collators as training makes them."""

from himmel.training.batches import AlignmentCollator
from himmel.training.store import ClipStore
from himmel.training.targets import TargetStore
from tiny_hosts import Setup


def alignment_collator(store: ClipStore, setup: Setup) -> AlignmentCollator:
    """Of stage 1, with the targets of all clips of the store."""
    targets = TargetStore(store, setup.model)
    targets.fill((int(file.stem) for file in store.folder.glob("*.safetensors")), setup.model)
    return AlignmentCollator(store, targets, setup.model.host)
