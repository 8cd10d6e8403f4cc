"""A checkpoint with its LoRA folded into its host."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from himmel.choices import Precision
from himmel.errors import UsageError
from himmel.hosts import Loading
from himmel.model import HimmelForConditionalGeneration
from himmel.model.repository import local_folder

_DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Merged:
    """What `merge_checkpoint` wrote.

    Attributes:
        checkpoint: its folder.
        host: the folder of the merged host inside it.
        lora_rank: rank of the LoRA that was folded in; 0 if the checkpoint had none.
        dtype: type of the host's weights, such as "bfloat16".
    """

    checkpoint: str
    host: str
    lora_rank: int
    dtype: str


def merge_checkpoint(
    source: str | os.PathLike[str], output: Path, *, host: str | None = None, dtype: Precision | None = None
) -> Merged:
    """Merge a checkpoint's LoRA into its host and write both as one complete checkpoint.

    Args:
        source: checkpoint folder or repository name.
        output: folder to write, new or empty.
        host: name or folder of a host in place of the checkpoint's own.
        dtype: of the host's weights; None: as the host is stored, nano in float32.

    Raises:
        UsageError: `output` holds files already, or there is no such type.
        HostError: the checkpoint or its host is missing or damaged, or LoRA cannot be folded in.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{str(output)!r} already exists; name a folder that is new or empty.")
    if dtype is not None and dtype not in _DTYPES:
        raise UsageError(f"dtype={dtype!r} does not exist; choose one of {', '.join(_DTYPES)}.")
    chosen = None if dtype is None else _DTYPES[dtype]
    model = HimmelForConditionalGeneration.from_pretrained(source, host=host, loading=Loading(dtype=chosen))
    rank = model.config.lora_rank
    model.merge_lora()
    model.save_pretrained(output)
    records = local_folder(source) / "training"
    if records.is_dir():
        shutil.copytree(records, output / "training")
    weight = str(model.network.dtype).removeprefix("torch.")
    return Merged(checkpoint=str(output), host=str(output / "host"), lora_rank=rank, dtype=weight)
