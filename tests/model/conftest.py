"""Tiny models and prepared samples, made once a session."""

from collections.abc import Callable

import pytest

from tiny_hosts import (
    Setup,
    build,
    host_config,
    host_folder,
    host_kind,
    host_setup,
    nano_config,
    nano_folder,
    qwen_config,
    qwen_folder,
    tiny_host,
)

__all__ = ["host_folder", "host_kind", "host_setup", "nano_folder", "qwen_folder", "tiny_host"]


@pytest.fixture(scope="session")
def nano(nano_folder: str) -> Setup:
    return build(nano_config(nano_folder))


@pytest.fixture(scope="session")
def qwen(qwen_folder: str) -> Setup:
    return build(qwen_config(qwen_folder))


@pytest.fixture(params=["nano", "qwen"])
def setup(request: pytest.FixtureRequest) -> Setup:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Setup)
    return found


@pytest.fixture(params=["nano", "qwen2_5_vl"])
def fresh(request: pytest.FixtureRequest, tiny_host: Callable[[str], str]) -> Callable[..., Setup]:
    """Makes a model of its own for a test, by changes to the usual configuration."""
    kind = str(request.param)
    return lambda **changes: build(host_config(kind, tiny_host(kind), **changes))


@pytest.fixture
def every(host_kind: str, host_folder: str) -> Callable[..., Setup]:
    """The same, of each kind of host."""
    return lambda **changes: build(host_config(host_kind, host_folder, **changes))
