"""Architecture of the built-in LLaVA: SigLIP tower, projector and small Llama.

SigLIP has no class token and vLLM supports it in LLaVA. As in vLLM, the projector reads the output
of the last tower layer before the final norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)
from transformers.models.siglip import SiglipImageProcessor

from sightline.training.vlm.data.letterbox import EDGE
from sightline.training.vlm.data.tokenizer import IMAGE, STEPS, coordinate_ids

CONTEXT: Final = 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the model; the defaults are those of ``builtin-llava``."""

    edge: int = EDGE
    patch: int = 16
    vision_width: int = 192
    vision_layers: int = 6
    text_width: int = 192
    text_mlp: int = 512
    text_layers: int = 4
    vocabulary: int = 2000

    @property
    def side(self) -> int:
        """Number of patches along an edge."""
        return self.edge // self.patch

    @property
    def patches(self) -> int:
        """Number of image tokens per image."""
        return self.side * self.side


SMOKE: Final = Shape(
    vision_width=128, vision_layers=3, text_width=128, text_mlp=320, text_layers=3, vocabulary=800
)
#: Width of an attention head; many narrow heads work better than few wide ones.
HEAD: Final = 32


def build_model(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """Build a model with random fp32 weights."""
    vision = SiglipVisionConfig(
        hidden_size=shape.vision_width,
        intermediate_size=4 * shape.vision_width,
        num_hidden_layers=shape.vision_layers,
        num_attention_heads=shape.vision_width // HEAD,
        image_size=shape.edge,
        patch_size=shape.patch,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.text_width,
        intermediate_size=shape.text_mlp,
        num_hidden_layers=shape.text_layers,
        num_attention_heads=shape.text_width // HEAD,
        num_key_value_heads=shape.text_width // HEAD,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=shape.patches,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    generation = model.generation_config
    generation.bos_token_id = tokenizer.bos_token_id
    generation.eos_token_id = tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    _order_coordinates(model, tokenizer)
    return model


def build_processor(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Build the processor: resize to the square, no crop."""
    size = {"height": shape.edge, "width": shape.edge}
    images = SiglipImageProcessor(size=size)
    # vLLM and transformers use it to count image tokens.
    images.crop_size = size
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=shape.patch,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
        num_additional_image_tokens=0,
    )


@torch.no_grad()
def _order_coordinates(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Initialize coordinate embeddings so that neighbors are similar."""
    for weight in (model.get_input_embeddings().weight, model.lm_head.weight):
        centers = torch.linspace(0, 1, 33)
        values = torch.linspace(0, 1, STEPS)
        bumps = torch.exp(-(((values[:, None] - centers) / 0.05) ** 2))
        mixing = torch.randn(centers.numel(), weight.shape[1])
        smooth = bumps @ mixing
        smooth *= weight.std() / smooth.std()
        for first in coordinate_ids(tokenizer):
            weight[first : first + STEPS] = 0.3 * weight[first : first + STEPS] + smooth
