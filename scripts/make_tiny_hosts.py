"""Make random tiny hosts of the real classes, with real tokenizers and processors, for tests; nothing is fetched.

python scripts/make_tiny_hosts.py OUT     writes OUT/nano, OUT/qwen2_5_vl and so on
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from himmel.hosts.nano import NanoConfig
from himmel.hosts.nano.build import build_nano_host, compact
from himmel.hosts.nano.modeling import NanoTower

_TEXT = [
    "You answer questions about a video. You are a helpful assistant.",
    "What moves? Which way does the red ball move? How often does it stop, and who scores?",
    "left right up down yes no one two three the camera pans to the left and then it zooms in",
    "system user assistant",
]
# The form of the families' templates: messages between turn markers, contents as text or as parts in their order.
_TEMPLATE = (
    "{% for message in messages %}OPENING{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ 'IMAGE' }}{% elif part['type'] == 'video' %}{{ 'VIDEO' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_DEFAULT_SYSTEM = (
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
)
# LLaVA-OneVision takes parts alone, and puts pictures before text.
_LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_CHAT_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_QWEN_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
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


def _template(*, opening: str = "", image: str = "", video: str = "") -> str:
    return _TEMPLATE.replace("OPENING", opening).replace("IMAGE", image).replace("VIDEO", video)


def _make_qwen_tokenizer(
    folder: Path, specials: list[str], template: str, *, named: dict[str, str] | None = None
) -> PreTrainedTokenizerBase:
    """A tokenizer of the class that all four families use, saved in `folder`; `named` become its attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    _train_tokenizer([*_CHAT_TOKENS, *specials]).model.save(str(folder))
    tokenizer = Qwen2Tokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        eos_token="<|im_end|>",
        additional_special_tokens=[*_CHAT_TOKENS[1:], *specials],
        model_specific_special_tokens=named or {},
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def _text_config(tokenizer: PreTrainedTokenizerBase, *, spare_rows: int, **changes: Any) -> dict[str, Any]:
    """A language model of 2 layers, 48 wide."""
    return {
        "vocab_size": len(tokenizer) + spare_rows,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "bos_token_id": None,
        "eos_token_id": _id(tokenizer, "<|im_end|>"),
        "pad_token_id": _id(tokenizer, "<|endoftext|>"),
        **changes,
    }


def _id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    return int(cast(int, tokenizer.convert_tokens_to_ids(token)))


def _qwen_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return {name: _id(tokenizer, token) for name, token in zip(names, _QWEN_TOKENS, strict=True)}


def _save(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """In float32, so that tests can compare exactly."""
    network.generation_config.eos_token_id = _id(tokenizer, "<|im_end|>")
    network.generation_config.pad_token_id = _id(tokenizer, "<|endoftext|>")
    network.save_pretrained(folder)


def make_nano(folder: Path) -> None:
    """A nano host of 2 layers, 32 wide; its tower has the real shape, with random weights."""
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=_train_tokenizer(_CHAT_TOKENS),
        unk_token="<|endoftext|>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    tokenizer.chat_template = _template()
    torch.manual_seed(_SEED)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        # As many as the real one has: some recipes' prompts are long.
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    tower = NanoTower(NanoConfig(text_config=text)).net.state_dict()
    words, labels = (".", "red", "blue", "square", "dog", "cat", "one"), ("dog", "", "cat")
    sizes = {"projector_width": 16, "projector_layers": 1, "projector_heads": 2}
    host, tokenizer = build_nano_host(
        LlamaForCausalLM(text), tokenizer, tower, words=words, label_words=labels, **sizes
    )
    compact(host).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_qwen2_5_vl(folder: Path, *, heads: int = 3, head_size: int = 16) -> None:
    """A Qwen2.5-VL with a tower of 2 blocks; vLLM's attention on processors takes heads of 32 and more."""
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    template = _template(opening=_DEFAULT_SYSTEM, image=picture, video=picture.replace("image", "video"))
    tokenizer = _make_qwen_tokenizer(folder, _QWEN_TOKENS, template)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    torch.manual_seed(_SEED)
    time, side = head_size // 8, 3 * head_size // 16
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [time, side, side]}
    width = heads * head_size
    text = {"hidden_size": width, "num_attention_heads": heads, "rope_parameters": rope}
    config = Qwen2_5_VLConfig(
        text_config=_text_config(tokenizer, spare_rows=8, **text),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": width,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **_qwen_ids(tokenizer),
    )
    _save(Qwen2_5_VLForConditionalGeneration(config), tokenizer, folder)


def make_qwen3_vl(folder: Path, *, experts: bool = False) -> None:
    """A Qwen3-VL with a tower of 3 blocks, two of which feed the language model's layers (DeepStack)."""
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    template = _template(image=picture, video=picture.replace("image", "video"))
    tokenizer = _make_qwen_tokenizer(folder, _QWEN_TOKENS, template)
    # The published one takes 64 tokens at least, which would make tests slow.
    size = {"shortest_edge": 4 * 32**2, "longest_edge": 16384 * 32**2}
    mean = [0.5, 0.5, 0.5]
    Qwen2VLImageProcessorPil(patch_size=16, size=size, image_mean=mean, image_std=mean).save_pretrained(folder)
    torch.manual_seed(_SEED)
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    mixture = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16} if experts else {}
    config = (Qwen3VLMoeConfig if experts else Qwen3VLConfig)(
        text_config=_text_config(tokenizer, spare_rows=8, rope_parameters=rope, head_dim=16, **mixture),
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 48,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        **_qwen_ids(tokenizer),
    )
    network = Qwen3VLMoeForConditionalGeneration(config) if experts else Qwen3VLForConditionalGeneration(config)
    _save(network, tokenizer, folder)


def make_qwen3_vl_moe(folder: Path) -> None:
    """The same with a mixture of 4 experts in each layer."""
    make_qwen3_vl(folder, experts=True)


def make_internvl(folder: Path, *, tile: int = 56) -> None:
    """An InternVL whose tiles of `tile` pixels (published: 448) cost 4 tokens; its tokenizer fills every row."""
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    specials = [*named.values(), "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"]
    template = _template(image="<IMG_CONTEXT>\\n", video="<video>\\n")
    tokenizer = _make_qwen_tokenizer(folder, specials, template, named=named)
    GotOcr2ImageProcessorPil(
        size={"height": tile, "width": tile},
        crop_to_patches=True,
        image_mean=list(IMAGENET_DEFAULT_MEAN),
        image_std=list(IMAGENET_DEFAULT_STD),
    ).save_pretrained(folder)
    torch.manual_seed(_SEED)
    config = InternVLConfig(
        text_config={"model_type": "qwen2", **_text_config(tokenizer, spare_rows=0)},
        vision_config={
            "image_size": tile,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        image_token_id=_id(tokenizer, "<IMG_CONTEXT>"),
        image_seq_length=(tile // 14) ** 2 // 4,
    )
    _save(InternVLForConditionalGeneration(config), tokenizer, folder)


def make_llava_onevision(folder: Path, *, tile: int = 42) -> None:
    """A LLaVA-OneVision that sees squares of `tile` pixels (published: 384) as 3 x 3 features."""
    tokenizer = _make_qwen_tokenizer(folder, ["<image>", "<video>"], _template())
    # Older publications keep the processor's template in a file that the tokenizer doesn't read.
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": _LLAVA_TEMPLATE}), encoding="utf-8")
    pinpoints = [[tile * rows, tile * columns] for rows in range(1, 7) for columns in range(1, 7)]
    mean = [0.5, 0.5, 0.5]
    size = {"height": tile, "width": tile}
    LlavaOnevisionImageProcessorPil(
        size=size, image_grid_pinpoints=pinpoints, image_mean=mean, image_std=mean
    ).save_pretrained(folder)
    torch.manual_seed(_SEED)
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_text_config(tokenizer, spare_rows=8)},
        vision_config={
            "model_type": "siglip_vision_model",
            "image_size": tile,
            "patch_size": 14,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "vision_use_head": False,
        },
        image_token_index=_id(tokenizer, "<image>"),
        video_token_index=_id(tokenizer, "<video>"),
        image_grid_pinpoints=pinpoints,
    )
    _save(LlavaOnevisionForConditionalGeneration(config), tokenizer, folder)


MAKERS: dict[str, Callable[[Path], None]] = {
    "nano": make_nano,
    "qwen2_5_vl": make_qwen2_5_vl,
    "qwen3_vl": make_qwen3_vl,
    "qwen3_vl_moe": make_qwen3_vl_moe,
    "internvl": make_internvl,
    "llava_onevision": make_llava_onevision,
}


if __name__ == "__main__":
    for kind, make in MAKERS.items():
        make(Path(sys.argv[1]) / kind)
