"""How a video of a request reaches the processor: as the bytes of its file, of which nothing is decoded before."""

from typing import Any

import numpy as np
import numpy.typing as npt
from vllm.config import ModelConfig
from vllm.model_executor.models.config import VerifyAndUpdateConfig
from vllm.multimodal.video import VideoLoader

from himmel.serving.vllm.names import LOADER


class FileBytes(VideoLoader):
    """vLLM's video backend `himmel`: no picture is decoded here, as vLLM keeps the file's bytes beside its result."""

    @classmethod
    def load_bytes(
        cls, data: bytes, *, start: float = 0.0, end: float | None = None, **others: Any
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """Hand on a file.

        Args:
            data: the file.
            start, end: the stretch that is asked about, in seconds; None for the file's own end.
            others: what vLLM says to each backend, such as `num_frames`; it does not apply here.
        """
        del others
        return np.frombuffer(data, np.uint8), {"start": start, "end": end}


class ServedConfig(VerifyAndUpdateConfig):
    """Settings that vLLM needs for the model, so that nobody has to type them."""

    @staticmethod
    def verify_and_update_model_config(model_config: ModelConfig) -> None:
        """Choose the video backend."""
        mm_config = model_config.multimodal_config
        if mm_config is not None:
            mm_config.media_io_kwargs.setdefault("video", {}).setdefault("video_backend", LOADER)
