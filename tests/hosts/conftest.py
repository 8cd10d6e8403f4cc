"""Tiny hosts."""

from tiny_hosts import host_folder, host_kind, host_setup, nano_folder, qwen_folder, seeing_nano, tiny_host

__all__ = ["host_folder", "host_kind", "host_setup", "nano_folder", "qwen_folder", "seeing_nano", "tiny_host"]
