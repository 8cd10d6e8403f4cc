"""Tiny hosts, among them a mixture of experts, which shares its attention with its dense kin."""

from collections.abc import Callable

import pytest

from tiny_hosts import Setup, build, host_config, make_tiny_hosts, nano_config, tiny_host

__all__ = ["tiny_host"]


@pytest.fixture(scope="session", params=make_tiny_hosts.MAKERS)
def host_setup(request: pytest.FixtureRequest, tiny_host: Callable[[str], str]) -> Setup:
    """A tiny model of each kind in turn; made once for all tests, so leave it as it was."""
    kind = str(request.param)
    return build(host_config(kind, tiny_host(kind)))


@pytest.fixture(scope="session")
def nano(tiny_host: Callable[[str], str]) -> Setup:
    return build(nano_config(tiny_host("nano")))
