"""From decompositions and conversations to the model's inputs."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from himmel.errors import HostError
from himmel.hosts import Host, PositionScheme, Run, load_host
from himmel.model.config import HimmelConfig
from himmel.model.encoder import Conversation, PromptEncoder
from himmel.model.inputs import ModelInputs, MotionInputs
from himmel.model.placement import Placement, place
from himmel.model.reading import Reading
from himmel.model.salience import predict_salience
from himmel.model.sample import PreparedSample, join_sound, pad_steps
from himmel.model.streams import motion_channels, residual_channels, rgb_channels, small_picture, sound_channels
from himmel.video import Decomposition, Video


class HimmelProcessor(PromptEncoder):
    """Prepares videos and builds prompts with motion tokens for one configuration and host; holds no weights.

    Args:
        config: see `HimmelConfig`.
        host: the configuration's host, where it is loaded already.

    Raises:
        HostError: the host cannot be found, or doesn't fit the configuration.
    """

    def __init__(self, config: HimmelConfig, host: Host | None = None) -> None:
        self.config = config
        found = host or load_host(config.host, max_anchor_tokens=config.max_anchor_tokens)
        check_fit(config, found)
        super().__init__(found, position_scheme=cast(PositionScheme | None, config.position_scheme))

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], *, host: str | None = None, revision: str | None = None
    ) -> Self:
        """The processor of a checkpoint; `host` is a name or folder that replaces the checkpoint's own.

        Raises:
            HostError: no checkpoint is there, or its host cannot be found.
        """
        config = HimmelConfig.load(folder, revision=revision)
        return cls(config, load_host(host or config.host, max_anchor_tokens=config.max_anchor_tokens))

    def __call__(
        self, decompositions: Sequence[Decomposition], conversations: Sequence[Conversation], *, motion: bool = True
    ) -> ModelInputs:
        """Prepare and encode in one go; see `prepare` and `encode`."""
        return self.encode([self.prepare(item) for item in decompositions], conversations, motion=motion)

    def place(
        self,
        grids: Sequence[tuple[int, int]],
        num_intervals: int,
        *,
        salience: Sequence[float] | None = None,
        times: Sequence[Sequence[float]] | None = None,
    ) -> Placement:
        """The visual part of a prompt, as configured.

        Args:
            grids: of the anchors (`Host.image_grids`).
            num_intervals: whose motion tokens are placed.
            salience: see `place`.
            times: when each interval begins and ends, in seconds; read where the configuration tells times. An anchor's
                time is the beginning of its interval. An interval's is its middle, as Qwen3-VL gives frames that share
                tokens their mean.
        """
        told = times if self.config.times == "text" else None
        pictures = [self.host.anchor_runs(grid) for grid in grids]
        if told is not None:
            pictures = [[*self._tell(span[0]), *runs] for span, runs in zip(told[: len(grids)], pictures, strict=True)]
        placed = place(
            pictures,
            num_intervals,
            placement=self.config.placement,
            tokens=self.config.motion_tokens,
            token_id=self.host.motion_token_id,
            salience=salience,
            times=None if told is None else [(begin + end) / 2 for begin, end in told],
            tell=self._tell,
        )
        if told is None:
            return placed
        after = self.host.time_after([begin for begin, _ in told][: len(grids)], told[-1][1])
        return replace(placed, runs=(*placed.runs, *self._text(after)))

    def _tell(self, seconds: float) -> list[Run]:
        return self._text(self.host.time_before(seconds))

    def _text(self, text: str) -> list[Run]:
        return [Run("text", tuple(self.host.encode_text(text)))] if text else []

    def read(self, video: Video, *, threads: int | None = None) -> Decomposition:
        """Decompose a video as the configuration says; for the errors and `threads` see `Video.decompose`."""
        return Reading.of(self.config).read(video, threads=threads)

    def prepare(
        self,
        decomposition: Decomposition,
        *,
        far_image: npt.NDArray[np.uint8] | None = None,
        pictures: bool = True,
    ) -> PreparedSample:
        """Turn a decomposition into tensors, once.

        Args:
            decomposition: of one video, with its RGB difference and its sound where `config.rgb_difference` and
                `config.sound` say so.
            far_image: uint8 [H, W, 3], the video's last picture, wanted by stage 1 alone (`align_targets`).
            pictures: whether anchors and last picture are prepared for the host; stage 1 doesn't need them where its
                targets are known.
        """
        adapter = self.config.adapter
        size = (decomposition.width, decomposition.height)
        steps = max(1, *(len(interval.frames) for interval in decomposition.intervals))
        count = len(decomposition.intervals)
        channels = 3 if self.config.rgb_difference else adapter.motion_channels
        motion = np.zeros((count, steps, channels, adapter.map_size, adapter.map_size), np.float16)
        residual = np.zeros((count, steps, 4, adapter.map_size, adapter.map_size), np.float16)
        mask = np.zeros((count, steps), bool)
        for index, interval in enumerate(decomposition.intervals):
            taken = len(interval.frames)
            maps = interval.maps
            if self.config.rgb_difference:
                motion[index, :taken] = rgb_channels(interval, adapter.map_size)
            else:
                motion[index, :taken] = motion_channels(maps, adapter.map_size, width=size[0], height=size[1])
            residual[index, :taken] = residual_channels(maps, adapter.map_size)
            mask[index, :taken] = True
        sound = None
        if self.config.sound:
            heard = [sound_channels(interval) for interval in decomposition.intervals]
            sound = torch.from_numpy(np.stack(heard).astype(np.float16))
        anchors = [anchor.image for anchor in decomposition.anchors]
        context = None
        if self.config.context_source == "rgb":
            small = [small_picture(picture, adapter.context_size) for picture in anchors]
            context = torch.from_numpy(np.ascontiguousarray(np.stack(small), np.float16))
        return PreparedSample(
            motion=torch.from_numpy(motion),
            residual=torch.from_numpy(residual),
            step_mask=torch.from_numpy(mask),
            context=context,
            images=self.host.prepare_images(anchors) if pictures else {},
            far_images=self.host.prepare_images([far_image]) if pictures and far_image is not None else {},
            times=_times(decomposition),
            sound=sound,
        )

    def place_sample(self, sample: PreparedSample, *, motion: bool, anchors: bool) -> Placement:
        """See `PromptEncoder.place_sample`; with `place` as configured."""
        needed = motion and self.config.placement == "attention"
        return self.place(
            self.host.image_grids(sample.images) if anchors and sample.images else [],
            sample.num_intervals if motion else 0,
            salience=predict_salience(sample) if needed else None,
            times=self._times_of(sample),
        )

    def _times_of(self, sample: PreparedSample) -> list[list[float]] | None:
        if sample.times is None and sample.num_intervals and self.config.times == "text":
            raise HostError("The sample was prepared without times, and the prompt is to tell them; prepare it again.")
        return None if sample.times is None or not len(sample.times) else sample.times.tolist()

    def _motion_inputs(
        self, samples: Sequence[PreparedSample], placed: Sequence[Placement], *, anchors: bool
    ) -> MotionInputs | None:
        counts = torch.tensor([sample.num_intervals for sample in samples])
        return MotionInputs(
            motion=pad_steps([sample.motion for sample in samples]).float(),
            residual=pad_steps([sample.residual for sample in samples]).float(),
            step_mask=pad_steps([sample.step_mask for sample in samples]),
            context=self._context(samples, anchors=anchors),
            intervals_per_sample=counts,
            index=self._motion_index(placed, counts),
            sound=join_sound(samples),
        )

    def _motion_index(self, placed: Sequence[Placement], counts: Tensor) -> Tensor:
        firsts = (counts.cumsum(0) - counts).tolist()
        intervals = torch.cat([visual.intervals + first for visual, first in zip(placed, firsts, strict=True)])
        return intervals * self.config.adapter.tokens_per_interval + torch.cat([visual.tokens for visual in placed])

    def _context(self, samples: Sequence[PreparedSample], *, anchors: bool) -> Tensor | None:
        """The context stream, unless the model is to make it of the pictures in the prompt."""
        contexts = [sample.context for sample in samples]
        if not anchors and self.config.context_source == "tower":
            contexts = [
                sample.images.get("tower_features") if own is None else own
                for sample, own in zip(samples, contexts, strict=True)
            ]
        given = [context for context in contexts if context is not None]
        if len(given) == len(contexts):
            return torch.cat(given).float()
        if given or not anchors:
            raise HostError(
                f"{len(given)} of {len(contexts)} samples of a batch have a context stream; "
                "prepare them all in the same way, or call keep_features on them first."
            )
        return None


def _times(decomposition: Decomposition) -> Tensor:
    """[N, 2], see `PreparedSample`."""
    begins = [anchor.time for anchor in decomposition.anchors]
    ends = [*begins[1:], max(decomposition.duration, begins[-1])]
    return torch.tensor([begins, ends], dtype=torch.float64).T.contiguous()


def check_fit(config: HimmelConfig, host: Host) -> None:
    """See that adapter and host belong together.

    Raises:
        HostError: the adapter was made for another width or another feature map.
    """
    adapter = config.adapter
    if adapter.host_hidden_size != host.hidden_size:
        raise HostError(
            f"The adapter makes tokens {adapter.host_hidden_size} wide and the host {host.folder!r} is "
            f"{host.hidden_size} wide; use the host that the adapter was trained for."
        )
    if config.context_source == "tower":
        wanted = (adapter.context_channels, adapter.context_size, adapter.context_size)
        if host.tower_map != wanted:
            raise HostError(
                f"The adapter's context is a feature map of {wanted} and the tower of {host.folder!r} gives "
                f"{host.tower_map}; use another host, or context_source='rgb' with the adapter's context_channels=3 "
                "and context_size=112."
            )
