"""The nano host's network: EfficientNet-Lite0, a projector and a small Llama, joined as LLaVA joins them.

The language model is transformers' own `LlamaModel`; nothing of its forward pass is copied here.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForImageTextToText, GenerationMixin, LlamaModel, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast

from himmel.errors import HostError
from himmel.hosts.nano.configuration import NanoConfig
from himmel.hosts.nano.projector import NanoProjector

_PICTURES_AT_ONCE: Final = 4


class NanoTower(nn.Module):
    """EfficientNet-Lite0 with its classifier, frozen and always in inference mode (its batch norms never move)."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__()
        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.width = config.tower_width
        self.picture_size = config.picture_size
        self.grid = config.tower_grid
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "NanoTower":
        """Stay in inference mode for any `mode`: running statistics and dropped paths would change features."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, pixel_values: Tensor) -> Tensor:
        """Read pictures.

        Args:
            pixel_values: float [I, 3, 224, 224], RGB, (code value - 127) / 128.

        Returns:
            [I, 1472, 7, 7]: 1280 features, not negative (the last activation is ReLU6), and the picture itself at
            56 x 56 pixels, the 8 x 8 pixels of a place as its further 192 channels. Colours, numbers and small shapes
            are not to be had from the features: they were made to be blind to them.
        """
        # More pictures at once don't fit a processor's cache, and take a third longer each.
        at_once = _PICTURES_AT_ONCE if pixel_values.device.type == "cpu" else max(len(pixel_values), 1)
        features = torch.cat([self.net.extract_features(few) for few in pixel_values.split(at_once)])
        small = functional.interpolate(pixel_values, size=self.picture_size, mode="area")
        return torch.cat([features, functional.pixel_unshuffle(small, self.picture_size // self.grid)], dim=1)

    @property
    def classifier_weight(self) -> Tensor:
        """float32 [1000, C], by which mean features become logits of ImageNet's labels."""
        return self.net._fc.weight.detach().float()

    @torch.no_grad()
    def classify(self, tower_map: Tensor) -> Tensor:
        """What the classifier says of six regions of each picture.

        Args:
            tower_map: [I, 1472, 7, 7], see `forward`.

        Returns:
            float32 [I, 6, 1000], logarithms of probabilities of ImageNet's labels: of the four quarters (which share
            their middle lines), of the whole, and of the middle.
        """
        features = tower_map[:, : self.width].float()
        half, last = self.grid // 2 + 1, self.grid // 2
        spans = (slice(0, half), slice(last, None))
        regions = [features[:, :, rows, columns] for rows in spans for columns in spans]
        regions += [features, features[:, :, 1:-1, 1:-1]]
        pooled = torch.stack([region.mean((2, 3)) for region in regions], dim=1)
        weight, bias = self.net._fc.weight.float(), self.net._fc.bias.float()
        return functional.log_softmax(functional.linear(pooled, weight, bias), dim=-1)


class NanoPreTrainedModel(PreTrainedModel):
    """What the two nano classes share with the rest of transformers."""

    config_class = NanoConfig
    config: NanoConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012 (transformers declares these as plain attributes)
    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer"]  # noqa: RUF012
    _keep_in_fp32_modules_strict = ["tower"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True


class NanoModel(NanoPreTrainedModel):
    """Tower, projector and language model without its head."""

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        self.tower = NanoTower(config)
        self.projector = NanoProjector(config)
        self.language_model = LlamaModel._from_config(config.get_text_config())
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The language model's token embeddings."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's token embeddings."""
        self.language_model.set_input_embeddings(value)

    def get_image_features(
        self, pixel_values: Tensor | None = None, tower_features: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """Features of pictures in the language model's space.

        Args:
            pixel_values: float [I, 3, 224, 224]; read by the tower. Ignored where `tower_features` is given.
            tower_features: float [I, 1472, 7, 7], what the tower made of the same pictures earlier.
            kwargs: accepted and ignored, as transformers' generation passes flags meant for other towers.

        Returns:
            `last_hidden_state` [I, 1472, 7, 7] and `pooler_output`, I tensors of [tokens_per_anchor, D].
        """
        if tower_features is None:
            tower_features = self.tower(cast(Tensor, pixel_values).to(self.tower.net._conv_stem.weight.dtype))
        tokens = self.projector(tower_features, self.tower.classify(tower_features))
        return BaseModelOutputWithPooling(
            last_hidden_state=cast(Any, tower_features), pooler_output=cast(Any, list(tokens))
        )

    def _embed(self, input_ids: Tensor, image_tokens: Tensor | None) -> Tensor:
        embeds = self.get_input_embeddings()(input_ids)
        if image_tokens is None:
            return cast(Tensor, embeds)
        mask = input_ids == self.config.image_token_id
        if int(mask.sum()) != len(image_tokens):
            raise HostError(
                f"The prompt holds {int(mask.sum())} image placeholders for {len(image_tokens)} image tokens; "
                "build it with the processor of this host."
            )
        return cast(Tensor, embeds.masked_scatter(mask.unsqueeze(-1), image_tokens.to(embeds.dtype)))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        tower_features: Tensor | None = None,
        mm_encoder_outputs: Mapping[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Put image features at their placeholders and run the language model; arguments as in transformers' LLaVA."""
        if inputs_embeds is None:
            image = (mm_encoder_outputs or {}).get("image")
            if image is None and (pixel_values is not None or tower_features is not None):
                image = self.get_image_features(pixel_values, tower_features)
            tokens = None if image is None else torch.cat(list(cast(Any, image.pooler_output)))
            inputs_embeds = self._embed(cast(Tensor, input_ids), tokens)
        return cast(
            BaseModelOutputWithPast,
            self.language_model(
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                **kwargs,
            ),
        )


class NanoForConditionalGeneration(NanoPreTrainedModel, GenerationMixin):
    """The nano host: pictures and text in, text out."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: NanoConfig) -> None:
        super().__init__(config)
        self.model = NanoModel(config)
        text = config.get_text_config()
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()

    def get_image_features(
        self, pixel_values: Tensor | None = None, tower_features: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPooling:
        """See `NanoModel.get_image_features`."""
        return self.model.get_image_features(pixel_values, tower_features, **kwargs)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        tower_features: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_encoder_outputs: Mapping[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits of the next token; arguments as in transformers' LLaVA.

        `pixel_values` is float [I, 3, 224, 224], `tower_features` [I, 1472, 7, 7] in its place; both hold the pictures
        of the whole batch in prompt order.

        Raises:
            HostError: the number of image placeholders doesn't match the number of image tokens.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            tower_features=tower_features,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            vocab_size = self.config.get_text_config().vocab_size
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


AutoModelForImageTextToText.register(NanoConfig, NanoForConditionalGeneration)
