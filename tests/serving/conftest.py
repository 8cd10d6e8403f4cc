"""Tiny models, as the other packages' tests have them."""

from tiny_hosts import tiny_host

__all__ = ["tiny_host"]
