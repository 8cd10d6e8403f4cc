"""transformers' notices and bars are silent where this project calls it, and only there."""

import io
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from transformers.utils import logging as transformers_logging

from himmel._quiet import quiet_transformers

LOGGER = logging.getLogger("transformers.somewhere")


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    """What transformers' own logger says at its usual level."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger("transformers")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def test_notices_inside_are_dropped_and_errors_are_not(heard: io.StringIO) -> None:
    with quiet_transformers():
        LOGGER.warning("a notice")
        LOGGER.error("an error")
    LOGGER.warning("afterwards")
    assert heard.getvalue() == "an error\nafterwards\n"


def test_other_threads_still_hear_theirs(heard: io.StringIO) -> None:
    with ThreadPoolExecutor(1) as pool, quiet_transformers():
        pool.submit(LOGGER.warning, "elsewhere").result()
        LOGGER.warning("here")
    assert heard.getvalue() == "elsewhere\n"


def test_bars_inside_are_off_and_the_callers_hook_comes_back() -> None:
    with quiet_transformers():
        with quiet_transformers():
            assert transformers_logging.tqdm(range(2)).disable
        assert transformers_logging.tqdm(range(2)).disable
    hook = transformers_logging.set_tqdm_hook(None)
    transformers_logging.set_tqdm_hook(hook)
    assert hook is None


def test_levels_stay_as_they_are(heard: io.StringIO) -> None:
    before = logging.getLogger("transformers").level
    with quiet_transformers():
        assert logging.getLogger("transformers").level == before
    assert not any(handler.filters for handler in logging.getLogger("transformers").handlers)
