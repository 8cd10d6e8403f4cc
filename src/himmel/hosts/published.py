"""What the published vision-language models share; each family's own file says only where it differs."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils.hub import CHAT_TEMPLATE_FILE, LEGACY_PROCESSOR_CHAT_TEMPLATE_FILE, cached_file

from himmel.errors import HostError
from himmel.hosts.base import BaseHost
from himmel.hosts.chat import ChatTokens, take_apart
from himmel.hosts.loading import AS_STORED, Loading, load_weights, outline
from himmel.hosts.protocol import Picture
from himmel.hosts.tokens import MOTION_TOKEN, token_id


class PublishedHost(BaseHost, ABC):
    """A host of which all parts are transformers' own; its subclasses implement `Host`.

    `<|motion_pad|>` takes the first embedding row that the tokenizer leaves unused, so that nothing is resized. Where
    the tokenizer fills all rows, a token of the family that no prompt of this project holds lends its row: what the row
    holds never matters, as motion tokens replace it.

    Args:
        folder: a folder, or a repository name that transformers can find.
        max_anchor_tokens: most image tokens of one anchor; larger pictures are scaled down to it.

    Raises:
        HostError: no such model is there.
        UsageError: `max_anchor_tokens` is below the least that the family takes for a picture.
    """

    name: str
    family: ClassVar[str]
    config_class: ClassVar[type[PreTrainedConfig]]
    network_class: ClassVar[type[PreTrainedModel]]
    image_processor_class: ClassVar[type[BaseImageProcessor]]
    idle_tokens: ClassVar[tuple[str, ...]] = ()
    image_inputs: ClassVar[tuple[str, ...]]
    tower_map: tuple[int, int, int] | None = None

    def __init__(self, folder: str, *, max_anchor_tokens: int) -> None:
        self.folder = folder
        try:
            self.config: Any = self.config_class.from_pretrained(folder)
            self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
            self._image_processor: Any = self.image_processor_class.from_pretrained(folder)
            self._take_processors_template()
        except (OSError, ValueError) as error:
            raise HostError(
                f"The host {folder!r} cannot be read ({' '.join(str(error).split())}); "
                f"name a complete folder of {self.family}."
            ) from error
        text = self.config.get_text_config()
        self.hidden_size = int(text.hidden_size)
        self.vocab_size = int(text.vocab_size)
        self.context_length = int(text.max_position_embeddings)
        self.image_token_id = int(self.config.image_token_id)
        self.motion_token_id = self._find_motion_row()
        self._set_budget(max_anchor_tokens)

    @abstractmethod
    def _set_budget(self, max_anchor_tokens: int) -> None:
        """Have the image processor keep to `max_anchor_tokens`, or refuse."""

    def _take_processors_template(self) -> None:
        """Prefer the processor's chat template, which knows pictures; the tokenizer reads only its newer file."""
        missing = {"_raise_exceptions_for_missing_entries": False}
        if cached_file(self.folder, CHAT_TEMPLATE_FILE, **missing) is not None:
            return
        file = cached_file(self.folder, LEGACY_PROCESSOR_CHAT_TEMPLATE_FILE, **missing)
        if file is not None:
            with open(file, encoding="utf-8") as stream:
                self.tokenizer.chat_template = json.load(stream)["chat_template"]

    def _find_motion_row(self) -> int:
        if len(self.tokenizer) < self.vocab_size:
            self.tokenizer.add_special_tokens(
                {"additional_special_tokens": [MOTION_TOKEN]}, replace_extra_special_tokens=False
            )
            return token_id(self.tokenizer, MOTION_TOKEN)
        known = self.tokenizer.get_added_vocab()
        idle = [known[token] for token in self.idle_tokens if known.get(token, self.vocab_size) < self.vocab_size]
        if not idle:
            raise HostError(
                f"The host {self.folder!r} has {self.vocab_size} embedding rows and its tokenizer fills them all, "
                f"so no row is left for motion tokens; use a {self.family} checkpoint as published."
            )
        return idle[0]

    @cached_property
    def chat(self) -> ChatTokens:
        """The chat template as token pieces, with the system message that it falls back to, if any."""
        return take_apart(self.tokenizer, parts=True)

    def _process(self, pictures: Sequence[Picture], **options: Any) -> Mapping[str, Any]:
        return cast(
            Mapping[str, Any],
            self._image_processor(
                images=list(pictures), return_tensors="pt", input_data_format="channels_last", **options
            ),
        )

    def join_images(self, images: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Keyword arguments of `image_features`, named as in `image_inputs`."""
        return {name: torch.cat([item[name] for item in images]) for name in self.image_inputs}

    def load_network(self, loading: Loading = AS_STORED) -> PreTrainedModel:
        """See `Host.load_network`; by default in the type that the weights are stored in.

        Raises:
            HostError: the weights are missing or damaged.
            UsageError: this machine cannot do what `loading` asks for.
        """
        return load_weights(self.network_class, self.folder, loading, family=self.family)

    def outline_network(self, loading: Loading = AS_STORED) -> PreTrainedModel:
        """See `Host.outline_network`."""
        return outline(self.config, loading)

    def keep_features(self, network: PreTrainedModel, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The pictures as they are: features as wide as the language model would hardly be smaller."""
        del network
        return dict(images)

    def trained_parts(self, network: PreTrainedModel) -> dict[str, nn.Module]:
        """None: the model comes whole."""
        del network
        return {}
