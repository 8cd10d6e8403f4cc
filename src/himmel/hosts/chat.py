"""A tokenizer's chat template, taken apart once into the token pieces between questions and answers.

Pieces are put together as ids, never as text: a prompt is then a prefix of the same conversation with its answer, and
nothing in a user's text can turn into a placeholder or a turn marker.
"""

from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from himmel.errors import HostError

_MARKS = ("@@question-1@@", "@@answer-1@@", "@@question-2@@")


@dataclass(frozen=True)
class ChatTokens:
    """The constant pieces of a conversation.

    Attributes:
        head: before the first user turn's content (the visual part, then the question).
        reply: between a question and its answer; a prompt for generation ends with it.
        follow: between an answer and the next question; it starts with the end-of-turn token.
        end: the end-of-turn token.
    """

    head: tuple[int, ...]
    reply: tuple[int, ...]
    follow: tuple[int, ...]
    end: int


def take_apart(tokenizer: PreTrainedTokenizerBase, *, system: str | None = None, parts: bool = False) -> ChatTokens:
    """Split the chat template of `tokenizer` into its pieces.

    Args:
        tokenizer: with a chat template.
        system: system message; None: the template's own, if it has one.
        parts: whether contents are lists of typed parts, as templates that know pictures take them, or plain texts.

    Raises:
        HostError: the template changes or reorders contents, so that its pieces cannot be separated.
    """
    question, answer, second = _MARKS
    opening = [] if system is None else [("system", system)]
    turns = [*opening, ("user", question), ("assistant", answer), ("user", second)]
    messages: list[dict[str, Any]] = [
        {"role": role, "content": [{"type": "text", "text": text}] if parts else text} for role, text in turns
    ]
    try:
        whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer.apply_chat_template(messages[:-2], tokenize=False, add_generation_prompt=True)
    except (TypeError, ValueError, TemplateError) as error:
        raise HostError(
            f"The chat template of {tokenizer.name_or_path!r} cannot be used ({' '.join(str(error).split())}); "
            "use the tokenizer that belongs to the host."
        ) from error
    head, _, rest = str(whole).partition(question)
    reply, _, rest = rest.partition(answer)
    follow, _, last = rest.partition(second)
    if not (head and reply and follow) or last != reply or prompt != head + question + reply:
        raise HostError(
            f"The chat template of {tokenizer.name_or_path!r} does not keep turns in order; "
            "use the tokenizer that belongs to the host."
        )
    pieces = [tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (head, reply, follow)]
    return ChatTokens(head=pieces[0], reply=pieces[1], follow=pieces[2], end=pieces[2][0])
