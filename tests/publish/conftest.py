"""A tiny model of the default host's kind, made once."""

import pytest

from tiny_hosts import Setup, build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]


@pytest.fixture(scope="session")
def nano(nano_folder: str) -> Setup:
    return build(nano_config(nano_folder))
