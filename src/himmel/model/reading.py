"""How a video is read for a model: as its configuration says, except for what a request sets itself."""

from dataclasses import dataclass
from typing import Self, cast

from himmel.choices import AnchorMode, Backend
from himmel.model.config import HimmelConfig
from himmel.video import Decomposition, Video


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Everything that decides what is read of a file; the fields are arguments of `Video.decompose`."""

    num_anchors: int
    anchor_mode: AnchorMode
    steps_per_interval: int
    backend: Backend
    accumulate: bool
    rgb_difference: bool
    sound: bool

    @classmethod
    def of(
        cls,
        config: HimmelConfig,
        *,
        num_anchors: int | None = None,
        anchor_mode: AnchorMode | None = None,
        steps_per_interval: int | None = None,
        backend: Backend = "auto",
        accumulate: bool | None = None,
    ) -> Self:
        """As the configuration says, except for what is given."""
        return cls(
            num_anchors=config.num_anchors if num_anchors is None else num_anchors,
            anchor_mode=cast(AnchorMode, config.anchor_mode) if anchor_mode is None else anchor_mode,
            steps_per_interval=config.steps_per_interval if steps_per_interval is None else steps_per_interval,
            backend=backend,
            accumulate=config.accumulate if accumulate is None else accumulate,
            rgb_difference=config.rgb_difference,
            sound=config.sound,
        )

    def read(self, video: Video, *, threads: int | None = None) -> Decomposition:
        """Decompose a video; for the errors and `threads` see `Video.decompose`."""
        return video.decompose(
            num_anchors=self.num_anchors,
            anchor_mode=self.anchor_mode,
            steps_per_interval=self.steps_per_interval,
            backend=self.backend,
            accumulate=self.accumulate,
            threads=threads,
            rgb_difference=self.rgb_difference,
            sound=self.sound,
        )
