"""Where the API and its key come from, and which of them are refused before anything is sent."""

from typing import Any

import pytest

from himmel.errors import UsageError
from himmel.evaluation.api.settings import DEFAULT_URL, ApiSettings, find_key, find_url
from mock_api import KEY


def test_the_url_is_the_one_given_then_that_of_the_environment_then_openais(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://here:8000/v1")
    assert find_url("http://there/v1") == "http://there/v1"
    assert find_url(None) == "http://here:8000/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert find_url(None) == DEFAULT_URL


def test_the_key_is_that_of_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", f" {KEY}\n")
    assert find_key(DEFAULT_URL, variable="OTHER_KEY").secret == KEY


def test_a_server_of_ones_own_needs_no_key_and_openai_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert find_key("http://localhost:8000/v1").secret == "none"
    with pytest.raises(UsageError, match=r"OPENAI_API_KEY is not set, and https://api\.openai\.com/v1 needs a key"):
        find_key(DEFAULT_URL)


@pytest.mark.parametrize("secret", ["two words-of-a-key", "line\nbreak-in-a-key", "schlüssel-of-a-key"])
def test_a_key_that_no_header_may_hold_is_refused_without_showing_it(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    with pytest.raises(UsageError, match="The key in OPENAI_API_KEY holds") as raised:
        find_key(DEFAULT_URL)
    assert "of-a-key" not in str(raised.value)
    assert "in-a-key" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"url": "api.example.com/v1"}, "'api.example.com/v1' is not the URL of an API"),
        ({"url": "ftp://example.com"}, "is not the URL"),
        ({"url": "http://"}, "is not the URL"),
        ({"url": "http://host:99999/v1"}, "is not the URL"),
        ({"url": "http://[::1/v1"}, "is not the URL"),
        ({"model": "  "}, "name is empty"),
        ({"seconds": 0}, "seconds=0 is out of range"),
        ({"seconds": float("nan")}, "seconds=nan is out of range"),
        ({"retries": -1}, "retries=-1 is out of range"),
        ({"temperature": 3}, "temperature=3 is out of range"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 is out of range"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ApiSettings(**{"model": "m", **options})


@pytest.mark.parametrize(
    "url", ["https://me:secret1234@host/v1", "https://host/v1?key=secret1234", "https://h/#secret1234"]
)
def test_a_url_with_a_secret_in_it_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UsageError, match="holds a name, a password or a query") as raised:
        ApiSettings(model="m", url=url)
    assert "secret1234" not in str(raised.value)
