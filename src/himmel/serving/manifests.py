"""What lmms-eval's entry point loads: where the model's classes are, without importing them or torch."""

from typing import Any


def lmms_eval() -> Any:
    """The manifest of the model `himmel`: its chat class, and the simple one that `--force_simple` takes."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="himmel",
        chat_class_path="himmel.serving.lmms_eval.Himmel",
        simple_class_path="himmel.serving.lmms_eval.HimmelSimple",
    )
