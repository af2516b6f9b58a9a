"""Write the ONNX graphs of an open_clip folder. Needs torch, open_clip, onnx and onnxscript.

The graphs contain no weights: they refer to the tensors in the folder's safetensors file, so that
both engines read the same numbers and the folder stays small.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import open_clip
import torch
from open_clip.transformer import TextTransformer
from torch import nn

IMAGE_GRAPH: Final = "vision_model.onnx"
TEXT_GRAPH: Final = "text_model.onnx"
_PREFIX = "model."  # of the wrappers below
_HEADER_SIZE = 8
_TYPES = {
    "F16": onnx.TensorProto.FLOAT16,
    "BF16": onnx.TensorProto.BFLOAT16,
    "F32": onnx.TensorProto.FLOAT,
}


def export_graphs(folder: Path, weights: str) -> None:
    """Write the graphs of both towers into an open_clip folder; replace existing ones.

    ``weights`` is the name of its safetensors file.
    """
    tensors = _stored_tensors(folder / weights)
    model = open_clip.create_model_from_pretrained(
        f"local-dir:{folder}", precision="fp32", return_transform=False
    ).eval()
    height, width = model.visual.image_size
    pixels = torch.zeros(2, 3, height, width)
    batch = torch.export.Dim("batch")
    _write(folder / IMAGE_GRAPH, _ImageTower(model), pixels, {0: batch}, tensors)
    ids = torch.zeros(2, int(model.context_length), dtype=torch.int64)
    tower = getattr(model, "text", None)
    if isinstance(tower, TextTransformer) and _ignores_padding(tower):
        length = torch.export.Dim("length", min=2, max=ids.shape[1])
        _write(folder / TEXT_GRAPH, _CausalTextTower(model), ids, {0: batch, 1: length}, tensors)
    else:
        _write(folder / TEXT_GRAPH, _TextTower(model), ids, {0: batch}, tensors)


def _ignores_padding(tower: TextTransformer) -> bool:
    """Return whether the vector of a text does not depend on what follows its last token."""
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


@dataclass(frozen=True, slots=True)
class _StoredTensor:
    """A tensor in a safetensors file; ``offset`` and ``length`` are in bytes."""

    file: str
    type: int
    shape: list[int]
    offset: int
    length: int


def _stored_tensors(weights: Path) -> dict[str, _StoredTensor]:
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(_HEADER_SIZE), "little")
        header = json.loads(file.read(size))
    start = _HEADER_SIZE + size
    return {
        name: _StoredTensor(
            weights.name,
            _TYPES[each["dtype"]],
            each["shape"],
            start + each["data_offsets"][0],
            each["data_offsets"][1] - each["data_offsets"][0],
        )
        for name, each in header.items()
        if name != "__metadata__" and each["dtype"] in _TYPES
    }


@torch.no_grad()
def _write(
    path: Path,
    tower: nn.Module,
    example: torch.Tensor,
    dynamic: dict[int, Any],
    tensors: dict[str, _StoredTensor],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own internals
        # Unoptimized: every weight keeps its name. ONNX Runtime optimizes when it loads.
        program: Any = torch.onnx.export(
            tower,
            (example,),
            dynamo=True,
            dynamic_shapes=(dynamic,),
            output_names=["embeds"],
            optimize=False,
            verbose=False,
        )
    graph_file = program.model_proto
    graph = graph_file.graph
    values = list(graph.initializer)
    nodes = list(graph.node)
    for field in (graph.initializer, graph.node, graph.value_info):
        del field[:]
    for value in values:
        stored = tensors.get(value.name.removeprefix(_PREFIX))
        if stored is None:
            graph.initializer.append(value)
            continue
        graph.initializer.append(_reference(f"{value.name}.stored", stored))
        # Loading converts half precision once.
        graph.node.append(
            onnx.helper.make_node(
                "Cast", [f"{value.name}.stored"], [value.name], to=onnx.TensorProto.FLOAT
            )
        )
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        graph.node.append(node)
    del graph_file.metadata_props[:]
    path.write_bytes(graph_file.SerializeToString(deterministic=True))


def _reference(name: str, stored: _StoredTensor) -> onnx.TensorProto:
    tensor = onnx.TensorProto(
        name=name,
        data_type=stored.type,
        dims=stored.shape,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in (
        ("location", stored.file),
        ("offset", str(stored.offset)),
        ("length", str(stored.length)),
    ):
        tensor.external_data.add(key=key, value=value)
    return tensor
