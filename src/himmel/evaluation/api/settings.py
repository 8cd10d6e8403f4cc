"""Which API is asked, and how; and the key, which is kept apart from everything that is printed or written."""

import os
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

from himmel._checks import check_whole
from himmel.errors import UsageError

KEY_VARIABLE: Final = "OPENAI_API_KEY"
URL_VARIABLE: Final = "OPENAI_BASE_URL"
DEFAULT_URL: Final = "https://api.openai.com/v1"
MOST_NEW_TOKENS: Final = 2**20
# Servers of one's own often want none, and the client wants some.
_NO_KEY: Final = "none"
# A shorter one is a placeholder, and hiding it would change answers in which the same letters occur.
_SHORTEST_SECRET: Final = 8


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """What is asked for with every question; all of it may be printed and written.

    Attributes:
        url: up to and without `/chat/completions`, such as "https://api.openai.com/v1".
        model: the name by which the API knows it.
        max_new_tokens: most tokens of an answer, those of a model's hidden reasoning included.
        temperature: 0 asks for the likeliest answer. Left out where the API refuses it.
        seed: passed on. Left out where the API refuses it.
        seconds: how long an attempt waits for the server. All attempts together may take twice as long.
        retries: further attempts after trouble that may pass: too many requests (429), the server's own errors (5xx),
            time limits, broken connections.

    Raises:
        UsageError: a value is out of range, or the URL is not a plain http(s) address.
    """

    url: str = DEFAULT_URL
    model: str
    max_new_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0
    seconds: float = 120.0
    retries: int = 6

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not self.model.strip():
            raise UsageError("The model's name is empty; give the name by which the API knows it.")
        check_whole("max_new_tokens", self.max_new_tokens, 1, MOST_NEW_TOKENS)
        check_whole("retries", self.retries, 0, 100)
        if not 0 < self.seconds <= 86_400:
            raise UsageError(f"seconds={self.seconds!r} is out of range; give a time limit above 0, up to a day.")
        if not 0 <= self.temperature <= 2:
            raise UsageError(f"temperature={self.temperature!r} is out of range; give a number from 0 to 2.")


@dataclass(frozen=True)
class Key:
    """An API's key; printing it shows nothing of it.

    Attributes:
        secret: the key itself.
        variable: the environment variable that it is from.
    """

    secret: str = field(repr=False)
    variable: str

    def hide(self, text: str) -> str:
        """The text without the key, which some servers repeat in their messages."""
        return text.replace(self.secret, "[key]") if len(self.secret) >= _SHORTEST_SECRET else text

    @classmethod
    def absent(cls, variable: str) -> Self:
        """What is sent where no key is set."""
        return cls(_NO_KEY, variable)


def find_url(url: str | None) -> str:
    """The URL that was asked for, else that of OPENAI_BASE_URL, else OpenAI's own."""
    return url or os.environ.get(URL_VARIABLE, "").strip() or DEFAULT_URL


def find_key(url: str, *, variable: str = KEY_VARIABLE) -> Key:
    """The key from the environment; where none is set, a placeholder for servers that want no key.

    Args:
        url: of the API.
        variable: the environment variable that holds the key.

    Raises:
        UsageError: OpenAI is to be asked without a key, or the key holds characters that no header may have.
    """
    secret = os.environ.get(variable, "").strip()
    if not secret:
        if url == DEFAULT_URL:
            raise UsageError(
                f"The environment variable {variable} is not set, and {url} needs a key; set it, or name another API "
                "with --api."
            )
        return Key.absent(variable)
    # The client's own message about such a key would show it.
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise UsageError(
            f"The key in {variable} holds blanks, line breaks or letters outside ASCII; set it to the key alone."
        )
    return Key(secret, variable)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_right = urlsplit(""), False
    # Nothing of the address is repeated here: it may hold a password.
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UsageError(
            f"The API's URL holds a name, a password or a query; give the address alone, and the key in {KEY_VARIABLE}."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right:
        raise UsageError(f"{url!r} is not the URL of an API; give one such as {DEFAULT_URL!r}.")
