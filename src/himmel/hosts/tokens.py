"""Special tokens by name."""

from transformers import PreTrainedTokenizerBase

from himmel.errors import HostError

MOTION_TOKEN = "<|motion_pad|>"
"""Placeholder of one motion token, on hosts whose tokenizer has room for it."""


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """Id of a special token.

    Raises:
        HostError: the tokenizer doesn't know `token`.
    """
    number = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(number, int) or number == tokenizer.unk_token_id:
        raise HostError(f"The tokenizer has no token {token!r}; use the tokenizer that belongs to the host.")
    return number
