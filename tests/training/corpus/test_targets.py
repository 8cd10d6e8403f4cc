"""Targets that are kept: for the host that made them, and no other."""

import shutil
from pathlib import Path

import pytest
import torch

from himmel.hosts import load_host
from himmel.model import HimmelForConditionalGeneration
from himmel.training.corpus.targets import KeptTargets
from tiny_hosts import qwen_config


@pytest.fixture(autouse=True)
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "kept"))


def _kept(host: Path) -> KeptTargets:
    found = KeptTargets.of(HimmelForConditionalGeneration.from_config(qwen_config(str(host), lora_rank=0)))
    assert found is not None
    return found


def test_a_host_is_known_by_its_weights_and_not_by_its_folder(qwen_folder: str, tmp_path: Path) -> None:
    """Another host may be in a folder by now; its targets are not those of the one before."""
    one, other = tmp_path / "host", tmp_path / "copy"
    shutil.copytree(qwen_folder, one)
    shutil.copytree(qwen_folder, other)
    before = _kept(one)
    assert _kept(other).folder == before.folder
    network = load_host(str(one)).load_network()
    with torch.no_grad():
        network.model.visual.merger.mlp[0].weight.add_(0.1)
    network.save_pretrained(one)
    assert _kept(one).folder != before.folder
    before.keep("ab", torch.ones(2, 48))
    assert _kept(one).load("ab") is None


@pytest.mark.parametrize("content", [b"", b"no such format"])
def test_a_damaged_file_is_made_anew(content: bytes, tmp_path: Path) -> None:
    kept = KeptTargets(tmp_path / "targets")
    kept.keep("ab", torch.ones(2, 48))
    (path,) = kept.folder.rglob("*.safetensors")
    path.write_bytes(content)
    assert kept.load("ab") is None
    kept.keep("ab", torch.zeros(2, 48))
    found = kept.load("ab")
    assert found is not None
    assert torch.equal(found, torch.zeros(2, 48))
