"""The methods of token reduction by name, each with the options that it has."""

from dataclasses import dataclass
from typing import ClassVar, Final

from himmel._checks import MOST_SEED, check_whole
from himmel.methods.protocol import Shown
from himmel.methods.reduction.dycoke import KEEP as DYCOKE_KEEP
from himmel.methods.reduction.dycoke import dycoke
from himmel.methods.reduction.evs import evs
from himmel.methods.reduction.reducing import ReducingMethod
from himmel.methods.reduction.steered import Metom
from himmel.methods.reduction.tokens import FrameTokens, Reduction
from himmel.methods.reduction.tome import tome
from himmel.methods.reduction.uniform_drop import uniform_drop
from himmel.methods.reduction.vidcom2 import vidcom2


@dataclass(frozen=True, kw_only=True)
class Evs(ReducingMethod):
    """`evs`: what looks as it did one frame earlier is dropped (arXiv 2510.14624, section 3); see `evs`.

    Options: see `ReducingMethod`; the first frame is always kept whole.
    """

    name: ClassVar[str] = "evs"

    def reduce(self, tokens: FrameTokens, shown: Shown) -> Reduction:
        """See `ReducingMethod.reduce`."""
        del shown
        return evs(tokens, keep=self.keep)


@dataclass(frozen=True, kw_only=True)
class VidCom2(ReducingMethod):
    """`vidcom2`: what stands out of its frame and of the video is kept (EMNLP 2025, section 4); see `vidcom2`.

    Options: see `ReducingMethod`.
    """

    name: ClassVar[str] = "vidcom2"

    def reduce(self, tokens: FrameTokens, shown: Shown) -> Reduction:
        """See `ReducingMethod.reduce`."""
        del shown
        return vidcom2(tokens, keep=self.keep)


@dataclass(frozen=True, kw_only=True)
class DyCoke(ReducingMethod):
    """`dycoke`: windows of four frames lose what repeats (CVPR 2025, section 3.2, first stage alone); see `dycoke`.

    Args:
        num_frames, frame_mode: see `FramesMethod`.
        keep: 0.475 by default, the paper's merging rate of 0.7; every fourth frame is always kept whole.
    """

    name: ClassVar[str] = "dycoke"

    keep: float = DYCOKE_KEEP

    def reduce(self, tokens: FrameTokens, shown: Shown) -> Reduction:
        """See `ReducingMethod.reduce`."""
        del shown
        return dycoke(tokens, keep=self.keep)


@dataclass(frozen=True, kw_only=True)
class ToMe(ReducingMethod):
    """`tome`: the most similar tokens of each frame become their mean (ICLR 2023, section 3); see `tome`.

    Options: see `ReducingMethod`; every frame keeps a token.
    """

    name: ClassVar[str] = "tome"

    def reduce(self, tokens: FrameTokens, shown: Shown) -> Reduction:
        """See `ReducingMethod.reduce`."""
        del shown
        return tome(tokens, keep=self.keep)


@dataclass(frozen=True, kw_only=True)
class UniformDrop(ReducingMethod):
    """`uniform_drop`: the control; every token has the same chance; see `uniform_drop`.

    Args:
        num_frames, frame_mode, keep: see `ReducingMethod`; every frame keeps a token.
        drop_seed: decides which tokens are kept, 0 to 2**63 - 1.
    """

    name: ClassVar[str] = "uniform_drop"

    drop_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("drop_seed", self.drop_seed, 0, MOST_SEED)

    def reduce(self, tokens: FrameTokens, shown: Shown) -> Reduction:
        """See `ReducingMethod.reduce`."""
        del shown
        return uniform_drop(tokens, keep=self.keep, seed=self.drop_seed)


REDUCTIONS: Final[tuple[type[ReducingMethod], ...]] = (Evs, VidCom2, DyCoke, ToMe, UniformDrop, Metom)
