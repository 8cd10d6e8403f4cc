"""Make random tiny hosts of the real classes, with real tokenizers and processors, for tests; nothing is fetched.

python scripts/make_tiny_hosts.py OUT     writes OUT/nano and OUT/qwen2_5_vl
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
)

from himmel.hosts.nano import NanoTower, build_nano_host, compact

_TEXT = [
    "You answer questions about a video. You are a helpful assistant.",
    "What moves? Which way does the red ball move? How often does it stop, and who scores?",
    "left right up down yes no one two three the camera pans to the left and then it zooms in",
    "system user assistant",
]
# The form of both real templates, one message after another between turn markers.
_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SEED = 7


def _train_tokenizer(specials: list[str]) -> Tokenizer:
    """A byte-level BPE like those of the real hosts, of a few hundred tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    return tokenizer


def make_nano(folder: Path) -> None:
    """A nano host of 2 layers, 32 wide; its tower has the real shape, with random weights."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=_train_tokenizer(specials),
        unk_token="<|endoftext|>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    tokenizer.chat_template = _TEMPLATE
    torch.manual_seed(_SEED)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    host, tokenizer = build_nano_host(LlamaForCausalLM(text), tokenizer, NanoTower().net.state_dict())
    compact(host).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_qwen2_5_vl(folder: Path) -> None:
    """A Qwen2.5-VL of 2 layers, 48 wide, with a tower of 2 blocks; float32, so that tests can compare exactly."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    specials += ["<|image_pad|>", "<|video_pad|>"]
    folder.mkdir(parents=True, exist_ok=True)
    _train_tokenizer(specials).model.save(str(folder))
    tokenizer = Qwen2Tokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        eos_token="<|im_end|>",
        additional_special_tokens=specials[1:],
    )
    tokenizer.chat_template = _TEMPLATE
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    ids = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in specials}
    torch.manual_seed(_SEED)
    config = Qwen2_5_VLConfig(
        text_config={
            # Some rows more than tokens, as the published models have.
            "vocab_size": len(tokenizer) + 8,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 48,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    network = Qwen2_5_VLForConditionalGeneration(config)
    network.generation_config.eos_token_id = ids["<|im_end|>"]
    network.generation_config.pad_token_id = ids["<|endoftext|>"]
    network.save_pretrained(folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    make_nano(target / "nano")
    make_qwen2_5_vl(target / "qwen2_5_vl")
