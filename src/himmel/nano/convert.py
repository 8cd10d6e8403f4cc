"""From the packages' files to a host folder that loads in seconds."""

from pathlib import Path
from typing import cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, LlamaForCausalLM

from himmel._quiet import quiet_transformers
from himmel.errors import HostError
from himmel.hosts.nano.build import build_nano_host, compact
from himmel.nano.words import image_words, label_words

# The projector is drawn at random; everyone's must be the same, or trained weights would not fit.
_SEED = 20261122


def convert(gguf: Path, tower: Path, folder: Path) -> None:
    """Join the language model and the vision tower and save host and tokenizer.

    The language model is stored in bfloat16; it came from 4-bit weights, so nothing is lost that matters.

    Args:
        gguf: SmolLM2 as GGUF.
        tower: EfficientNet-Lite0's state dict.
        folder: an existing folder.

    Raises:
        HostError: a file is not what it should be.
    """
    try:
        # Without `dequantize` the weights stay packed, and every forward pass is ten times slower.
        with quiet_transformers():
            llm = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
            )
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (OSError, ValueError) as error:
        raise HostError(f"Cannot read the language model {gguf.name!r} ({error}); fetch the host again.") from error
    # The temporary folder's name would make every conversion's config.json different.
    llm.config._name_or_path = "SmolLM2-135M-Instruct"
    state = torch.load(tower, map_location="cpu", weights_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        host, extended = build_nano_host(
            cast(LlamaForCausalLM, llm), tokenizer, state, words=image_words(), label_words=label_words()
        )
    with quiet_transformers():
        compact(host).save_pretrained(folder)
        extended.save_pretrained(folder)
