"""A checkpoint on its way to those who use it: its card, the hub, LoRA merged into its host."""

from himmel.publish.card import write_card
from himmel.publish.hub import push_folder, push_model
from himmel.publish.merged import Merged, merge_checkpoint

__all__ = ["Merged", "merge_checkpoint", "push_folder", "push_model", "write_card"]
