"""The motion adapter: maps of M intervals in, motion tokens out."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from himmel._quiet import quiet_transformers
from himmel.adapter.branches import ResNetMapBranch
from himmel.adapter.config import AdapterConfig
from himmel.adapter.families import make_branches, make_encoder
from himmel.adapter.fusion import CompressedStreamFusion
from himmel.adapter.gates import GateStatistics
from himmel.adapter.heads import AlignmentHead, MotionProjector
from himmel.adapter.output import AdapterOutput
from himmel.adapter.siglip import SiglipMapBranch
from himmel.adapter.steps import TokenQueries
from himmel.adapter.tensors import StreamInputs

# Streams with one state for a whole interval.
_OF_INTERVAL = ("context", "sound")


class MotionAdapter(PreTrainedModel):
    """Branches, two fusion stages (with sound: three), motion encoder, alignment head and projector (docs/method.md).

    Examples:
        >>> from himmel.adapter import AdapterConfig, MotionAdapter, StreamInputs
        >>> adapter = MotionAdapter(AdapterConfig.nano())
        >>> output = adapter(StreamInputs(
        ...     motion=torch.zeros(3, 8, 2, 20, 20), residual=torch.zeros(3, 8, 4, 20, 20),
        ...     context=torch.zeros(3, 1472, 7, 7), step_mask=torch.ones(3, 8, dtype=torch.bool)))
        >>> output.tokens.shape
        torch.Size([3, 9, 576])
    """

    config_class = AdapterConfig
    config: AdapterConfig
    main_input_name = "inputs"
    base_model_prefix = "adapter"

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__(config)
        self.branches = make_branches(config)
        self.motion_fusion = CompressedStreamFusion(config)
        self.context_fusion = CompressedStreamFusion(config)
        self.encoder = make_encoder(config)
        self.alignment_head = AlignmentHead(config)
        self.projector = MotionProjector(config)
        if "sound" in config.streams:
            self.sound_fusion = CompressedStreamFusion(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # torch's own initialisation of layers, which depends on their width, learns faster here than the library's
        # constant 0.02; what torch leaves uninitialised follows.
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.Conv1d, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, Mamba2Mixer):
            module.init_mamba2_weights()
            init.ones_(module.norm.weight)
        elif isinstance(module, TokenQueries):
            init.normal_(module.queries)
            init.normal_(module.null_entry)
        elif isinstance(module, (CompressedStreamFusion, MotionProjector)):
            for parameter in module.parameters(recurse=False):
                init.zeros_(parameter)

    def match_scale(self, embedding_std: float) -> None:
        """Scale motion tokens to the standard deviation of the host's embeddings; see `MotionProjector.match_scale`."""
        self.projector.match_scale(embedding_std)

    def load_backbones(self) -> None:
        """Take the trained weights that `siglip_weights` names; nothing where it names none.

        Raises:
            HostError: they are missing or of another shape.
        """
        for branch in self.branches.values():
            if isinstance(branch, SiglipMapBranch) and self.config.siglip_weights is not None:
                branch.load_backbone(self.config.siglip_weights)

    def transformers(self) -> list[PreTrainedModel]:
        """Backbones whose layers may be computed again in the backward pass."""
        return [branch.backbone for branch in self.branches.values() if isinstance(branch, SiglipMapBranch)]

    def forward(self, inputs: StreamInputs) -> AdapterOutput:
        """Encode M intervals; each is independent of the others, apart from what `StoredNorm2d` counts in training.

        Raises:
            ValueError: a step that exists comes after one that does not, or maps of another size than the config's.
        """
        if torch.compiler.is_compiling():
            return self._encode(inputs)
        self._check(inputs)
        # Without fused kernels, transformers says so at the first call; the results are the same.
        with quiet_transformers():
            return self._encode(inputs)

    def _encode(self, inputs: StreamInputs) -> AdapterOutput:
        inputs = inputs.to(device=self.device, dtype=self.dtype)
        mask = inputs.step_mask
        states = self._encode_streams(inputs)
        motion = self.config.motion_stream
        moved, motion_share = self.motion_fusion(states[motion], states["residual"])
        fused, context_share = self.context_fusion(moved, states["context"])
        sound_share = None
        if "sound" in states:
            fused, sound_share = self.sound_fusion(fused, states["sound"])
        sequence, token_set = self.encoder(fused, mask)
        pooled = token_set.mean(dim=1)
        return AdapterOutput(
            tokens=self.projector(token_set),
            embedding=self.alignment_head(pooled, "fused"),
            branches={name: self.alignment_head(_pool(states[name], mask, name), name) for name in self.branches},
            pooled=pooled,
            sequence=sequence,
            gates=_gate_statistics(motion, motion_share, context_share, sound_share, mask),
        )

    def _check(self, inputs: StreamInputs) -> None:
        config = self.config
        expected = config.motion_shape, config.residual_shape, config.context_shape
        given = tuple(tuple(stream.shape[-3:]) for stream in (inputs.motion, inputs.residual, inputs.context))
        if given != expected:
            raise ValueError(
                f"The adapter takes {config.motion_stream}, residual and context of {expected}, got {given}."
            )
        if "sound" in config.streams and inputs.sound is None:
            raise ValueError("The adapter reads the stream sound, and the inputs have none.")
        mask = inputs.step_mask
        if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
            raise ValueError(
                "A step that exists comes after one that does not; in each row of step_mask, put the existing steps "
                "first."
            )

    def _encode_streams(self, inputs: StreamInputs) -> dict[str, Tensor]:
        """Hidden states [M, F, d] of all streams; zeros for one of the first three that is not read."""
        mask = inputs.step_mask
        absent = inputs.motion.new_zeros(*mask.shape, self.config.hidden_size)
        states = dict.fromkeys(("context", self.config.motion_stream, "residual"), absent)
        for name, branch in self.branches.items():
            if name in _OF_INTERVAL:
                whole = inputs.sound if name == "sound" else inputs.context
                states[name] = branch(whole)[:, None].expand_as(absent)
            else:
                maps = inputs.residual if name == "residual" else inputs.motion
                states[name] = _encode_steps(branch, maps, mask, absent)
        return states


def _encode_steps(branch: nn.Module, maps: Tensor, mask: Tensor, absent: Tensor) -> Tensor:
    """Encode only the steps that exist, so that padding costs nothing and stays out of statistics."""
    if torch.compiler.is_compiling() and not (branch.training and isinstance(branch, ResNetMapBranch)):
        # One graph needs fixed shapes; without statistics to spoil, padding is encoded and left out.
        encoded = branch(maps.masked_fill(~mask[:, :, None, None, None], 0).flatten(0, 1)).unflatten(0, mask.shape)
        return encoded.masked_fill(~mask[:, :, None], 0)
    # Without any step too: another process may have some, and waits for this one where statistics are gathered.
    encoded = branch(maps[mask])
    return absent.to(encoded.dtype).masked_scatter(mask[:, :, None], encoded)


def _pool(states: Tensor, mask: Tensor, name: str) -> Tensor:
    """Mean over the steps that exist [M, d]; context and sound are the same at every step, also where none exists."""
    if name in _OF_INTERVAL:
        return states[:, 0]
    return (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def _gate_statistics(
    name: str, motion: Tensor | None, context: Tensor | None, sound: Tensor | None, mask: Tensor
) -> GateStatistics | None:
    if motion is None or context is None:
        return None
    return GateStatistics(
        streams=(name, "residual", "context", *(() if sound is None else ("sound",))),
        motion_gate=motion * mask,
        context_gate=context * mask,
        sound_gate=None if sound is None else sound * mask,
        step_mask=mask,
    )
