"""Export the detector as ONNX graphs beside their weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import save
from torch import Tensor, nn

from sightline.server.models.export.graph_writer import stored_tensors, write_graph
from sightline.training.detector.model.detector import PatchHeads, PhraseHead, TextStates, Trunk
from sightline.training.encoder.data import tokenizer as tokenizers
from sightline.training.encoder.data.album import write_atomically
from sightline.training.encoder.recipe import CONTEXT_TOKENS, preprocess_config

CONFIG: Final = "detector_config.json"
WEIGHTS: Final = "detector.safetensors"
IMAGE_GRAPH: Final = "image_model.onnx"
PHRASE_GRAPH: Final = "phrase_model.onnx"


class ImageModel(nn.Module):
    """Normalized pixels to what the patches say."""

    def __init__(self, trunk: Trunk, heads: PatchHeads) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, heads

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return vectors, scale, shift and boxes of the patches."""
        patches = self.heads(self.trunk(pixel_values))
        return patches.vectors, patches.scale, patches.shift, patches.boxes


class PhraseModel(nn.Module):
    """Token ids to the vectors of phrases."""

    def __init__(self, tower: TextStates, head: PhraseHead) -> None:
        super().__init__()
        self.tower, self.head = tower, head

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return (phrases, dim)."""
        vectors: Tensor = self.head(self.tower(input_ids))
        return vectors


def export(
    model: CustomTextCLIP, tokenizer: Any, weights: Mapping[str, Tensor], folder: Path
) -> None:
    """Write graphs, weights (fp16), tokenizer and configuration; replace existing files.

    ``weights`` are those of ``train.Heads``. The calibration is added by ``evaluate``.
    """
    tokenizers.write(tokenizer, folder)
    heads, head = PatchHeads(model), PhraseHead(model.text.token_embedding.weight.shape[1])
    heads.load_state_dict(_part(weights, "patches."))
    head.load_state_dict(_part(weights, "phrases."))
    parts: dict[str, nn.Module] = {
        "image": ImageModel(Trunk(model), heads).eval(),
        "phrase": PhraseModel(TextStates(model), head).eval(),
    }
    stored = {
        f"{part}.{name}": value.detach().half().contiguous()
        for part, module in parts.items()
        for name, value in module.named_parameters()
        if part == "image" or "text_projection" not in name
    }
    write_atomically(folder / WEIGHTS, save(stored, metadata={"format": "pt"}))
    tensors = stored_tensors(folder / WEIGHTS)
    for module in parts.values():  # the graphs are traced with the stored numbers
        for value in module.parameters():
            value.data = value.data.half().float()
    width, height = preprocess_config()["size"]
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=2, max=CONTEXT_TOKENS)
    for part, path, example, axes, outputs in (
        (
            "image",
            IMAGE_GRAPH,
            torch.zeros(2, 3, height, width),
            {0: batch},
            ["vectors", "scale", "shift", "boxes"],
        ),
        (
            "phrase",
            PHRASE_GRAPH,
            torch.full((2, 8), 2, dtype=torch.int64),
            {0: batch, 1: length},
            ["vectors"],
        ),
    ):
        named = {
            name.removeprefix(f"{part}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{part}.")
        }
        write_graph(folder / path, parts[part], [example], [axes], outputs, named)
    write_config(folder, {"context_length": CONTEXT_TOKENS, "preprocess_cfg": preprocess_config()})


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the configuration that the server reads."""
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / CONFIG, text.encode())


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of an exported folder."""
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return config


def _part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
