from collections.abc import Callable

import pytest
from transformers import AutoTokenizer

from himmel.errors import HostError
from himmel.hosts import load_host
from himmel.hosts.chat import take_apart
from tiny_hosts import HOST_KINDS


def test_the_pieces_make_up_the_templates_own_tokens(nano_folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(nano_folder)
    chat = take_apart(tokenizer, system="You answer questions about a video.")
    messages = [
        {"role": "system", "content": "You answer questions about a video."},
        {"role": "user", "content": "What moves?"},
        {"role": "assistant", "content": "the ball"},
        {"role": "user", "content": "Which way?"},
    ]
    whole = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]

    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    ours = [*chat.head, *ids("What moves?"), *chat.reply, *ids("the ball"), *chat.follow, *ids("Which way?")]
    assert [*ours, *chat.reply] == whole
    assert chat.end == tokenizer.eos_token_id


@pytest.mark.parametrize("kind", [kind for kind in HOST_KINDS if kind != "nano"])
def test_every_published_hosts_pieces_make_up_its_template(kind: str, tiny_host: Callable[[str], str]) -> None:
    """Nano's template takes plain texts instead, see above."""
    host = load_host(tiny_host(kind))
    turns = [("user", "What moves?"), ("assistant", "the ball"), ("user", "Which way?")]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    whole = host.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    first, answer, second = (host.encode_text(text) for _, text in turns)
    ours = [*host.chat.head, *first, *host.chat.reply, *answer, *host.chat.follow, *second, *host.chat.reply]
    assert ours == whole
    assert host.chat.end == host.tokenizer.eos_token_id


def test_a_template_that_fails_is_one_sentence(nano_folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(nano_folder)
    tokenizer.chat_template = "{{ messages[0]['content'] + 1 }}"
    with pytest.raises(HostError, match=r"cannot be used .*; use the tokenizer that belongs to the host"):
        take_apart(tokenizer)


def test_a_template_that_hides_contents_is_refused(nano_folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(nano_folder)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    with pytest.raises(HostError, match="does not keep turns in order"):
        take_apart(tokenizer, system="system")
