"""Write the ONNX graphs of a LLaVA folder: vision tower, and decoder with cache."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from sightline.server.models.export.graph_writer import StoredTensor, stored_tensors, write_graph

VISION_GRAPH: Final = "vision_encoder.onnx"
DECODER_GRAPH: Final = "decoder.onnx"
WEIGHTS: Final = "model.safetensors"
_NAMES: Final = {
    "tower.": "vision_tower.",
    "projector.": "multi_modal_projector.",
    "language.": "language_model.model.",
    "head.": "language_model.lm_head.",
}


def export_graphs(folder: Path) -> None:
    """Write the graphs into a LLaVA folder with a Llama decoder, replacing others."""
    loaded: Any = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    model = loaded.eval()
    stored = stored_tensors(folder / WEIGHTS)
    tensors: dict[str, StoredTensor] = {}
    for ours, theirs in _NAMES.items():
        own = {name: each for name, each in stored.items() if name.startswith(theirs)}
        tensors |= {f"{ours}{name.removeprefix(theirs)}": each for name, each in own.items()}
    tensors |= {name.replace("vision_model.", "", 1): each for name, each in tensors.items()}
    vision = model.config.vision_config
    pixels = torch.zeros(2, 3, vision.image_size, vision.image_size)
    write_graph(
        folder / VISION_GRAPH,
        _Vision(model),
        [pixels],
        [{0: torch.export.Dim("images")}],
        ["image_features"],
        tensors,
    )
    text = model.config.text_config
    cache = (text.num_hidden_layers, 2, text.num_key_value_heads, 5, text.head_dim)
    write_graph(
        folder / DECODER_GRAPH,
        _Decoder(model),
        [torch.zeros(3, dtype=torch.int64), torch.zeros(4, text.hidden_size), torch.zeros(cache)],
        [
            {0: torch.export.Dim("length")},
            {0: torch.export.Dim("features")},
            {3: torch.export.Dim("past_length")},
        ],
        ["logits", "present"],
        tensors,
    )


class _Vision(nn.Module):
    """Pixels (n, 3, height, width) to features of image tokens (n, tokens, hidden)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower, self.projector = model.model.vision_tower, model.model.multi_modal_projector

    def forward(self, pixel_values: Tensor) -> Tensor:
        hidden = self.tower(pixel_values, output_hidden_states=True).hidden_states[-1]
        features: Tensor = self.projector(hidden)
        return features


class _Decoder(nn.Module):
    """One step of a Llama decoder: the logits of the next token, and the new cache.

    ``input_ids`` has shape (length,). The image tokens in it stand for ``image_features``, shape
    (features, hidden), in order; without any, one row that is not used. ``past`` has the keys and
    values of earlier tokens, shape (layers, 2, heads, past length, head dimension).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.language, self.head = model.model.language_model, model.lm_head
        self._image_token = int(model.config.image_token_index)
        config = model.config.text_config
        self._heads = int(config.num_attention_heads)
        self._groups = self._heads // int(config.num_key_value_heads)
        self._dimension = int(config.head_dim)

    def forward(
        self, input_ids: Tensor, image_features: Tensor, past: Tensor
    ) -> tuple[Tensor, Tensor]:
        is_image = input_ids == self._image_token
        place = (is_image.long().cumsum(0) - 1).clamp(0, image_features.shape[0] - 1)
        embeddings = self.language.embed_tokens(input_ids)
        hidden = torch.where(is_image.unsqueeze(1), image_features[place], embeddings)
        length, before = input_ids.shape[0], past.shape[3]
        queries = before + torch.arange(length)
        keys = torch.arange(before + length)
        angles = queries.float().unsqueeze(1) * self.language.rotary_emb.inv_freq
        cosine, sine = (part.repeat(1, 2) for part in (angles.cos(), angles.sin()))
        hides_future = torch.where(keys.unsqueeze(0) > queries.unsqueeze(1), -math.inf, 0.0)
        present = []
        for index, layer in enumerate(self.language.layers):
            normed = layer.input_layernorm(hidden)
            attention = layer.self_attn
            query, key, value = (
                project(normed).view(length, -1, self._dimension).transpose(0, 1)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            query, key = (_rotate(each, cosine, sine) for each in (query, key))
            key = torch.cat([past[index, 0], key], dim=1)
            value = torch.cat([past[index, 1], value], dim=1)
            present.append(torch.stack([key, value]))
            key, value = (each.repeat_interleave(self._groups, 0) for each in (key, value))
            scores = query @ key.transpose(1, 2) / math.sqrt(self._dimension) + hides_future
            mixed = (scores.softmax(-1) @ value).transpose(0, 1).reshape(length, -1)
            hidden = hidden + attention.o_proj(mixed)
            hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        logits: Tensor = self.head(self.language.norm(hidden[-1]))
        return logits, torch.stack(present)


def _rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply rotary positions to (heads, length, dimension)."""
    first, second = states.chunk(2, dim=-1)
    return states * cosine + torch.cat([-second, first], dim=-1) * sine
