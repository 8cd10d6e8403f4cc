"""SigLIP as a map encoder: a vision transformer on maps drawn as pictures."""

from typing import cast

from torch import Tensor, nn
from transformers import SiglipVisionConfig, SiglipVisionModel

from himmel.adapter.config import AdapterConfig
from himmel.adapter.pictures import draw_maps
from himmel.errors import HostError


class SiglipMapBranch(nn.Module):
    """transformers' `SiglipVisionModel` with its pooling head; ViT-B/16 at 224 x 224 unless the config says else."""

    def __init__(self, config: AdapterConfig, stream: str) -> None:
        super().__init__()
        self.stream = stream
        settings = SiglipVisionConfig(**(config.siglip or {}))
        self.size = cast(int, settings.image_size)
        self.backbone = SiglipVisionModel(settings)
        self.project = nn.Linear(settings.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)

    def load_backbone(self, source: str) -> None:
        """Take a trained backbone's weights.

        Args:
            source: folder or repository name of a SigLIP with its vision part.

        Raises:
            HostError: there is none, or it has another shape.
        """
        try:
            loaded = SiglipVisionModel.from_pretrained(source, dtype="float32")
            self.backbone.load_state_dict(loaded.state_dict())
        except (OSError, ValueError, RuntimeError) as error:
            raise HostError(
                f"siglip_weights={source!r} cannot be loaded ({' '.join(str(error).split())}); "
                "name a SigLIP whose sizes are those of the adapter's `siglip` settings."
            ) from error

    def forward(self, maps: Tensor) -> Tensor:
        """[n, channels, S, S] -> [n, d]."""
        if not len(maps):
            # transformers' attention takes one picture or more.
            return self.norm(self.project(maps.new_zeros(0, self.project.in_features)))
        # SigLIP's own image processor brings pictures to -1..1.
        pictures = (draw_maps(self.stream, maps, self.size) * 2 - 1).to(maps.dtype)
        return self.norm(self.project(self.backbone(pictures).pooler_output))
