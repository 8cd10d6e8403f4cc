"""What a trained HY-Himmel is made of, apart from its weights."""

import json
import os
from copy import deepcopy
from typing import Any, ClassVar, Self, cast

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from himmel.adapter import AdapterConfig
from himmel.errors import HostError
from himmel.model.repository import local_folder
from himmel.settings import AdapterSettings, ModelSettings, own_settings

INNER_HOST = "./host"
"""What `host` says in the `config.json` of a checkpoint that holds its host."""


@strict
class HimmelConfig(PreTrainedConfig, ModelSettings):
    """Host, adapter, and how motion tokens go into the host's prompt, see `ModelSettings`.

    Raises:
        UsageError: an unknown choice, a number out of its range, or LoRA beside a language model that is trained whole.
    """

    model_type = "himmel"
    adapter_class: ClassVar[type[AdapterSettings]] = AdapterConfig
    sub_configs: ClassVar[dict[str, Any]] = {"adapter_config": AdapterConfig}

    def __post_init__(self, **kwargs: Any) -> None:
        # First, as it makes an AdapterConfig of a dictionary, which transformers before 5.21 leave as it is.
        ModelSettings.__post_init__(self)
        super().__post_init__(**kwargs)

    @property
    def adapter(self) -> AdapterConfig:
        """`adapter_config` by its type."""
        return cast(AdapterConfig, self.adapter_config)

    @classmethod
    def of(cls, settings: ModelSettings) -> Self:
        """The same settings as a configuration."""
        plain = own_settings(settings)
        del plain["model_type"], plain["adapter_config"]["model_type"]
        return cls(**plain)

    def changed(self, **changes: Any) -> Self:
        """A copy with some settings changed; this one, which others may be reading, is not changed.

        Raises:
            UsageError: as the class.
        """
        copied = deepcopy(self)
        for name, value in changes.items():
            setattr(copied, name, value)
        copied.check()
        return copied

    @classmethod
    def load(cls, folder: str | os.PathLike[str], *, revision: str | None = None) -> Self:
        """The configuration of a checkpoint, by folder or repository name; see `local_folder` for `revision`.

        Raises:
            HostError: `folder` is no checkpoint of this project.
        """
        place = local_folder(folder, revision=revision)
        try:
            content = json.loads((place / "config.json").read_text(encoding="utf-8"))
            if content["model_type"] == cls.model_type:
                if content["host"] == INNER_HOST:
                    content["host"] = str(place / INNER_HOST)
                return cls.from_dict(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HostError(
                f"There is no readable config.json in {str(folder)!r}; name a checkpoint folder."
            ) from error
        raise HostError(
            f"The folder {str(folder)!r} holds a {content['model_type']!r}, not an HY-Himmel checkpoint; "
            "name the folder that training wrote."
        )


AutoConfig.register(HimmelConfig.model_type, HimmelConfig)
