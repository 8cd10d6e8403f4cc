"""Rendered clips as tensors, one file each, made once and read in any order."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from multiprocessing import active_children, get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from himmel._files import atomic_path, cache_root
from himmel._interrupts import interrupts_held
from himmel._progress import track
from himmel._versions import engine_version
from himmel.hosts import Host, Loading, load_host
from himmel.model.config import HimmelConfig
from himmel.model.processor import HimmelProcessor
from himmel.model.sample import PreparedSample
from himmel.nano.catalogue import Split
from himmel.nano.clips import NUM_INTERVALS, ground_truth
from himmel.nano.draw import draw_spec
from himmel.nano.questions import Question, questions
from himmel.nano.render import clip_file
from himmel.nano.sentences import sentences
from himmel.video import Video

_LAYOUT = 4
_PICTURES = "pictures"
_READERS, _AT_ONCE = 4, 16
_TRUTH_VALUES, _TRUTH_CLASSES = "truth.values", "truth.classes"


@dataclass(frozen=True)
class StoredClip:
    """A rendered clip as the model and the losses want it.

    Attributes:
        seed: what the clip was drawn from.
        sample: streams and anchors; tower features where the host keeps them.
        truth_values: float32 [N, V], see `GroundTruth.values`.
        truth_classes: int64 [N, C], see `GroundTruth.classes`.
        questions: with their options and right answers.
        sentences: what is asked without options, each with its answer in sentences; see `himmel.nano.sentences`.
        returns: whether everything is back in its place at each anchor, so that anchors show no change.
    """

    seed: int
    sample: PreparedSample
    truth_values: Tensor
    truth_classes: Tensor
    questions: tuple[Question, ...]
    sentences: tuple[tuple[str, str], ...]
    returns: bool


class ClipStore:
    """A folder of prepared clips for one split and one way of preparing them.

    Args:
        config: decides the sizes of the maps, anchors and steps; other settings give another folder.
        split: "train" or "eval", see `draw_spec`.
        root: of the folder; None: the cache.
    """

    def __init__(self, config: HimmelConfig, *, split: Split, root: Path | None = None) -> None:
        self.config = config
        self.split: Split = split
        settings: dict[str, object] = {
            "layout": _LAYOUT,
            "host": config.host,
            "anchors": config.num_anchors,
            "steps": config.steps_per_interval,
            "map": config.adapter.map_size,
            "context": config.context_source,
            # Both backends read a rendered clip, and their maps differ: without the engine, "auto" takes libav.
            "backend": "libav" if engine_version() is None else "bitstream",
        }
        # Settings of later versions count where they are not at their default, so that older clips stay good.
        later: dict[str, tuple[object, object]] = {
            "motion": ("rgb_diff" if config.rgb_difference else "motion", "motion"),
            "sound": (config.sound, False),
            "anchor_mode": (config.anchor_mode, "keyframe"),
            "accumulate": (config.accumulate, False),
            "times": (config.times, "none"),
            # Clips were once kept with what happens in their own eight intervals, whatever number of anchors they had.
            "truth": ("of anchors" if config.num_anchors != NUM_INTERVALS else "own", "own"),
            "anchor_tokens": (config.max_anchor_tokens, 256),
        }
        settings |= {name: value for name, (value, default) in later.items() if value != default}
        mark = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = (root or cache_root() / "prepared") / f"nano-{split}-{mark}"

    def path(self, seed: int) -> Path:
        """The file of the clip of this seed, made or not."""
        return self.folder / f"{seed}.safetensors"

    def prepare(self, seeds: Iterable[int], *, workers: int) -> None:
        """Render, encode and read the clips that are not there yet, in `workers` processes.

        Where the host's tower is frozen, its features of the anchors are kept in place of the pictures; it runs on the
        accelerator, if there is one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [seed for seed in seeds if not self.path(seed).is_file()]
        self._render([seed for seed in missing if not self._unseen(seed).is_file()], workers=workers)
        if missing and self._host.tower_map is not None:
            self._keep_features(missing)

    def _unseen(self, seed: int) -> Path:
        """The file of a clip whose pictures the host's tower has not seen yet, where it is to see them."""
        path = self.path(seed)
        return path if self._host.tower_map is None else path.with_suffix(f".pictures{path.suffix}")

    def _render(self, missing: Sequence[int], *, workers: int) -> None:
        if not missing:
            return
        with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (self.config,)) as pool:
            # Workers start at the submission, and inherit what is blocked: Ctrl-C is this process's to answer.
            with interrupts_held():
                jobs = [pool.submit(_prepare_one, seed, self.split, self._unseen(seed)) for seed in missing]
            try:
                for job in track(as_completed(jobs), what=f"Rendering {self.split} clips", total=len(jobs)):
                    job.result()
            except KeyboardInterrupt:
                # Clips under way are given up, or the pool would wait for them.
                for worker in active_children():
                    worker.terminate()
                raise
            finally:
                pool.shutdown(cancel_futures=True)

    def _keep_features(self, seeds: Sequence[int]) -> None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        network = self._host.load_network(Loading(vision_alone=True, device=device))
        with ThreadPoolExecutor(_READERS) as pool:
            batches = [seeds[start : start + _AT_ONCE] for start in range(0, len(seeds), _AT_ONCE)]
            written: list[Future[None]] = []
            for batch in track(batches, what=f"Showing the host {self.split} clips", total=len(batches)):
                files = list(pool.map(lambda seed: _read(self._unseen(seed)), batch))
                shown = torch.cat([tensors.pop(_PICTURES) for tensors, _ in files])
                images = self._host.prepare_images([np.ascontiguousarray(picture) for picture in shown.numpy()])
                kept = self._host.keep_features(network, images)
                # The batch before is written while this one is seen.
                _finish(written)
                written = [
                    pool.submit(self._write_seen, seed, tensors, metadata, place, kept)
                    for place, (seed, (tensors, metadata)) in enumerate(zip(batch, files, strict=True))
                ]
            _finish(written)

    def _write_seen(
        self, seed: int, tensors: dict[str, Tensor], metadata: dict[str, str], place: int, kept: dict[str, Tensor]
    ) -> None:
        """A clip with its share of what the tower has kept of a batch: its anchors, then its last picture."""
        count = self.config.num_anchors + 1
        own = {name: value[place * count : (place + 1) * count] for name, value in kept.items()}
        truth = {name: tensors.pop(name) for name in (_TRUTH_VALUES, _TRUTH_CLASSES)}
        sample = replace(
            PreparedSample.from_tensors(tensors),
            images={name: value[:-1] for name, value in own.items()},
            far_images={name: value[-1:] for name, value in own.items()},
        )
        tensors = {**sample.tensors(), **truth}
        with atomic_path(self.path(seed)) as path:
            save_file(tensors, path, metadata=metadata)
        self._unseen(seed).unlink()

    def load(self, seed: int, *, pictures: bool = True) -> StoredClip:
        """Read a prepared clip; without `pictures`, its anchors are left out where they are pictures still."""
        with safe_open(self.path(seed), "pt") as file:
            names = [name for name in file.keys() if pictures or name != _PICTURES]  # noqa: SIM118 (no mapping)
            tensors = {name: file.get_tensor(name) for name in names}
            facts = json.loads(file.metadata()["facts"])
        stored = tensors.pop(_PICTURES, None)
        values, classes = tensors.pop(_TRUTH_VALUES), tensors.pop(_TRUTH_CLASSES)
        sample = PreparedSample.from_tensors(tensors)
        return StoredClip(
            seed=seed,
            truth_values=values,
            truth_classes=classes,
            sample=sample if stored is None else self._with_pictures(sample, stored),
            questions=tuple(Question(**{**item, "choices": tuple(item["choices"])}) for item in facts["questions"]),
            sentences=tuple((asked, answer) for asked, answer in facts["sentences"]),
            returns=facts["returns"],
        )

    def _with_pictures(self, sample: PreparedSample, stored: Tensor) -> PreparedSample:
        """Anchors and far picture, uint8 [N + 1, H, W, 3], in the form that the host wants."""
        *anchors, far = (np.ascontiguousarray(picture) for picture in stored.numpy())
        return replace(sample, images=self._host.prepare_images(anchors), far_images=self._host.prepare_images([far]))

    @cached_property
    def _host(self) -> Host:
        return load_host(self.config.host, max_anchor_tokens=self.config.max_anchor_tokens)


_processor: HimmelProcessor


def _start_worker(config: HimmelConfig) -> None:
    # A worker is one process of several: one thread each keeps them from fighting over cores.
    global _processor
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _processor = HimmelProcessor(config)


def _finish(jobs: Iterable[Future[None]]) -> None:
    for job in jobs:
        job.result()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118 (no mapping)


def _prepare_one(seed: int, split: Split, target: Path) -> None:
    spec = draw_spec(seed, split)
    with clip_file(spec) as file:
        video = Video(file)
        decomposition = _processor.read(video, threads=1)
        # Decoded, as the anchors are: the picture as it was drawn would differ from them by all that coding does.
        far = video.frames([video.num_frames - 1], threads=1).frames[0].image
    sample = _processor.prepare(decomposition, far_image=far)
    # As the file has them: what the host's processor or tower makes of them takes more room, or the host itself.
    pictures = torch.from_numpy(np.stack([*(one.image for one in decomposition.anchors), far]))
    sample = replace(sample, images={}, far_images={})
    truth = ground_truth(spec, [anchor.frame for anchor in decomposition.anchors])
    tensors = {
        **sample.tensors(),
        _PICTURES: pictures,
        _TRUTH_VALUES: torch.from_numpy(truth.values),
        _TRUTH_CLASSES: torch.from_numpy(truth.classes),
    }
    facts = {
        "questions": [asdict(question) for question in questions(spec)],
        "sentences": sentences(spec) if split == "train" else (),
        "returns": spec.returns,
    }
    with atomic_path(target) as path:
        save_file(tensors, path, metadata={"facts": json.dumps(facts)})
