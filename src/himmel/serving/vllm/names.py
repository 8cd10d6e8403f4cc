"""Names that vLLM, its users and the plug-in have to agree on."""

from typing import Final

ARCHITECTURE: Final = "HimmelQwen25VLForConditionalGeneration"
"""Under which vLLM knows the model; `--hf-overrides` asks for it."""
CHECKPOINT: Final = "himmel_checkpoint"
"""The key of `--hf-overrides` with the checkpoint's folder; left out, it is the folder above the host's."""
LOADER: Final = "himmel"
"""The video backend that hands a file on as it is, chosen for the model by itself."""
