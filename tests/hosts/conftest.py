"""Tiny hosts."""

from tiny_hosts import nano_folder, qwen_folder

__all__ = ["nano_folder", "qwen_folder"]
