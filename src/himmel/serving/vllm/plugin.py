"""What vLLM loads in each of its processes (entry point `vllm.general_plugins`): names, but no model yet."""

from himmel.serving.vllm.names import ARCHITECTURE, LOADER


def register() -> None:
    """Tell vLLM of the model, and of how its videos are loaded; may be called any number of times."""
    from vllm import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP
    from vllm.multimodal.video import VIDEO_LOADER_REGISTRY

    from himmel.serving.vllm.loader import FileBytes, ServedConfig

    ModelRegistry.register_model(ARCHITECTURE, f"himmel.serving.vllm.model:{ARCHITECTURE}")
    VIDEO_LOADER_REGISTRY.register(LOADER)(FileBytes)
    MODELS_CONFIG_MAP[ARCHITECTURE] = ServedConfig
