"""Whether nano names the one thing that a picture shows: cut-outs of real things, to be looked at while it is designed.

    python -m benchmarks.single_subjects [CHECKPOINT] [--pictures N] [--json FILE]

Cut-outs of Tux Paint's stamps (Debian 12, mostly photographs of animals, food, things and vehicles), enlarged over
blurred photographs of the training half. Each is asked about with 15 names: by the likeliest of them in the image
tokens' slot for the scene, in the slot of the classifier's labels alone, and by the model's answer. Names of pictures
in the same folder are not offered beside each other, since a duck is a bird too. The photographs of `real_world` are
for the final figure; these may be tuned on, and so say nothing final.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import himmel
from benchmarks.real_world import Package, opened
from himmel._files import atomic_path
from himmel._progress import track
from himmel.evaluation.statistics import accuracy
from himmel.hosts.nano import NanoForConditionalGeneration
from himmel.hosts.nano.projector import SLOTS
from himmel.methods.models import checkpoint_name, default_checkpoint
from himmel.model import HimmelForConditionalGeneration
from himmel.nano.assets import get_photographs
from himmel.nano.catalogue import PHOTOGRAPHS

STAMPS: Final = Package(
    "debian",
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
)
_FOLDER: Final = "usr/share/tuxpaint/stamps"
_LIST: Final = Path(__file__).parent / "single_subjects.tsv"
_SIDE: Final = 320
_OFFERED: Final = 15
_QUESTION: Final = "What does this picture show?"
_SLOTS: Final = {"slot for the scene": "scene", "classifier's labels": "label of all"}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """One cut-out.

    Attributes:
        path: below the stamps' folder.
        name: an everyday word that the classifier has a label for.
    """

    path: str
    name: str


def main() -> None:
    """Draw, ask, and print how often each way is right."""
    options = _options()
    subjects = read_subjects()
    picked = [subjects[i] for i in np.random.default_rng(0).permutation(len(subjects))[: options.pictures]]
    checkpoint = options.checkpoint or str(default_checkpoint())
    right: dict[str, list[bool]] = {}
    with opened(STAMPS) as read, tempfile.TemporaryDirectory(prefix="himmel-subjects-") as scratch:
        model = HimmelForConditionalGeneration.from_pretrained(checkpoint).eval()
        session = himmel.Session(model)
        for index, subject in enumerate(track(picked, what="Asking about pictures", total=len(picked))):
            picture = draw(subject, index, read)
            names = offered(subject, subjects, index)
            for way, likeliest in _read_slots(model, picture, names).items():
                right.setdefault(way, []).append(likeliest == subject.name)
            file = Path(scratch) / f"{index}.png"
            Image.fromarray(picture).save(file)
            right.setdefault("answer", []).append(session.ask(file, _QUESTION, choices=names).text == subject.name)
    figures = {way: accuracy(of) for way, of in right.items()}
    for way, of in figures.items():
        print(f"{way}: {of.share:.1%} [{of.low:.1%}, {of.high:.1%}] of {of.total}")
    if options.json is not None:
        found = {
            "checkpoint": checkpoint_name(checkpoint),
            "right": {way: asdict(of) for way, of in figures.items()},
        }
        with atomic_path(options.json) as target:
            target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def read_subjects() -> list[Subject]:
    """All cut-outs, in the file's order."""
    return [Subject(*line.split("\t")) for line in _LIST.read_text(encoding="utf-8").splitlines()]


def offered(subject: Subject, subjects: Sequence[Subject], seed: int) -> list[str]:
    """The right name and others, in alphabetical order; none of a picture in the same folder."""
    own = _group(subject)
    near = {one.name for one in subjects if _group(one) == own}
    others = sorted({one.name for one in subjects} - near)
    drawn = np.random.default_rng([seed, 1]).permutation(len(others))[: _OFFERED - 1]
    return sorted([subject.name, *(others[i] for i in drawn)])


def draw(subject: Subject, seed: int, read: Callable[[str], bytes]) -> Picture:
    """The cut-out, at 60 to 95 % of the picture's size, over a blurred photograph; uint8 [320, 320, 3]."""
    rng = np.random.default_rng([seed, 2])
    stamp = np.asarray(Image.open(io.BytesIO(read(f"{_FOLDER}/{subject.path}"))).convert("RGBA"), np.float32)
    rows, columns = np.nonzero(stamp[..., 3] > 20)
    stamp = stamp[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = rng.uniform(0.6, 0.95) * _SIDE / max(stamp.shape[:2])
    height, width = (max(1, round(side * scale)) for side in stamp.shape[:2])
    stamp = np.asarray(cv2.resize(stamp, (width, height), interpolation=cv2.INTER_AREA))
    names = sorted(PHOTOGRAPHS["train"])
    behind = Image.open(get_photographs() / names[int(rng.integers(len(names)))]).convert("RGB").resize((_SIDE, _SIDE))
    canvas = cv2.GaussianBlur(np.asarray(behind, np.float32), (0, 0), 12)
    top, left = (_SIDE - height) // 2, (_SIDE - width) // 2
    alpha = stamp[..., 3:] / 255
    area = canvas[top : top + height, left : left + width]
    area[:] = stamp[..., :3] * alpha + area * (1 - alpha)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _group(subject: Subject) -> PurePosixPath:
    """The first two folders, or the first alone where there is no second."""
    return PurePosixPath(*PurePosixPath(subject.path).parent.parts[:2])


@torch.no_grad()
def _read_slots(model: HimmelForConditionalGeneration, picture: Picture, names: Sequence[str]) -> dict[str, str]:
    """The likeliest of these names in each of the two slots."""
    network = cast(NanoForConditionalGeneration, model.network)
    images = model.host.prepare_images([picture])
    tower_map = model.host.keep_features(network, images)["tower_features"].float()
    said = network.model.projector.describe(tower_map, network.model.tower.classify(tower_map)).words[0]
    words = list(network.config.image_words or ())
    places = torch.tensor([words.index(name) for name in names])
    return {way: names[int(said[SLOTS.index(slot)][places].argmax())] for way, slot in _SLOTS.items()}


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", help="default: the shipped one")
    parser.add_argument("--pictures", type=int, default=len(read_subjects()), help="so many, drawn at random")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    if not 1 <= options.pictures <= len(read_subjects()):
        parser.error(f"take from 1 to {len(read_subjects())} pictures")
    return options


if __name__ == "__main__":
    main()
