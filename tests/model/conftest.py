"""Tiny models and prepared samples, made once a session."""

import pytest

from tiny_hosts import (
    Setup,
    build,
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
