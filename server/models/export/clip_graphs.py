"""Write the ONNX graphs of an open_clip folder, one for each tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import open_clip
import torch
from open_clip.transformer import TextTransformer
from torch import nn

from sightline.server.models.export.graph_writer import stored_tensors, write_graph
from sightline.server.models.image_text.checkpoint import IMAGE_GRAPH, TEXT_GRAPH

_PREFIX: Final = "model."  # of the parameters of the towers below


@dataclass(frozen=True, slots=True)
class TowerGraph:
    """A tower to write: file name, module, example of its input, dynamic axes."""

    file: str
    module: nn.Module
    example: torch.Tensor
    axes: dict[int, Any]


def export_graphs(folder: Path, weights: str) -> None:
    """Write the graphs of both towers into an open_clip folder; replace existing ones.

    ``weights`` is the name of its safetensors file.
    """
    stored = stored_tensors(folder / weights)
    tensors = {f"{_PREFIX}{name}": tensor for name, tensor in stored.items()}
    for tower in tower_graphs(folder):
        path = folder / tower.file
        write_graph(path, tower.module, [tower.example], [tower.axes], ["embeds"], tensors)


def tower_graphs(folder: Path) -> list[TowerGraph]:
    """Load an open_clip folder and return its towers."""
    model = open_clip.create_model_from_pretrained(
        f"local-dir:{folder}", precision="fp32", return_transform=False
    ).eval()
    height, width = _pair(model.visual.image_size)
    pixels = torch.zeros(2, 3, height, width)
    ids = torch.zeros(2, int(model.context_length), dtype=torch.int64)
    batch = torch.export.Dim("batch")
    # A model without ``custom_text`` is its own text tower.
    tower = getattr(model, "text", None)
    text: nn.Module = _TextTower(model)
    text_axes = {0: batch}
    if isinstance(tower, TextTransformer) and _ignores_padding(tower):
        text = _CausalTextTower(model)
        text_axes[1] = torch.export.Dim("length", min=2, max=ids.shape[1])
    return [
        TowerGraph(IMAGE_GRAPH, _ImageTower(model), pixels, {0: batch}),
        TowerGraph(TEXT_GRAPH, text, ids, text_axes),
    ]


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _ignores_padding(tower: TextTransformer) -> bool:
    """Return whether the vector of a text is independent of its padding."""
    is_causal = tower.attn_mask is not None and not tower.use_pad_mask
    return is_causal and tower.cls_emb is None and tower.pool_type in ("eos", "argmax")


class _ImageTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.encode_image(pixel_values)
        return features


class _TextTower(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model.encode_text(input_ids)
        return features


class _CausalTextTower(nn.Module):
    """A text tower for ids of any length: its vectors do not depend on the padding."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        tower, length = self.model.text, input_ids.shape[1]
        features = tower.token_embedding(input_ids) + tower.positional_embedding[:length]
        features = tower.transformer(features, attn_mask=tower.attn_mask[:length, :length])
        features = tower.ln_final(features)
        ends = input_ids == tower.eos_id if tower.pool_type == "eos" else input_ids
        pooled = features[torch.arange(features.shape[0]), ends.int().argmax(dim=-1)]
        projection: Any = tower.text_projection
        if isinstance(projection, nn.Module):
            pooled = projection(pooled)
        elif projection is not None:
            pooled = pooled @ projection
        vectors: torch.Tensor = pooled
        return vectors
