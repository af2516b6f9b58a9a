"""Writes small models with random weights in the layouts in which ONNX files are published.

The graphs come from the old exporter of torch, which is faster than that of the product.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sightline.server.models.image_text.image_text_encoder import BUILTIN_FOLDER

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
VISION = {**TOWER, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
#: Of the built-in tokenizer.
TEXT = {
    **TOWER,
    "num_attention_heads": 2,
    "vocab_size": 1547,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CLIP_IMAGES = {
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "size": {"shortest_edge": 32},
    "resample": 3,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}
SIGLIP_IMAGES = {
    "size": {"height": 32, "width": 32},
    "resample": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


class Features(nn.Module):
    """Returns the features of both towers, or of those whose inputs it gets."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return _pooled(self.model.get_image_features(pixel_values=pixel_values))

    def texts(self, input_ids: torch.Tensor) -> torch.Tensor:
        return _pooled(self.model.get_text_features(input_ids=input_ids))


class ImageFeatures(Features):
    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.images(pixel_values)


class TextFeatures(Features):
    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.texts(input_ids)


class BothFeatures(Features):
    def forward(self, input_ids: torch.Tensor, pixel_values: torch.Tensor) -> Any:
        images, texts = self.images(pixel_values), self.texts(input_ids)
        return images @ texts.T, texts, images


def _pooled(output: Any) -> torch.Tensor:
    pooled = output if isinstance(output, torch.Tensor) else output.pooler_output
    assert isinstance(pooled, torch.Tensor)
    return pooled


def clip() -> Any:
    """Return a small CLIP of transformers."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(7)
    config = CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16)
    return CLIPModel(config).eval()


def siglip() -> Any:
    """Return a small SigLIP of transformers."""
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(7)
    return SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).eval()


def write_encoder(
    folder: Path, model: Any, images: Mapping[str, Any], *, is_one_graph: bool = False
) -> Path:
    """Write an image and text encoder as transformers.js does."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(model.config.to_dict(), default=str))
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    shutil.copy(BUILTIN_FOLDER / "tokenizer.json", folder)
    options = {"pad_token": "<|pad|>", "model_max_length": 16}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    ids, pixels = torch.full((2, 16), 3), torch.zeros(2, 3, 32, 32)
    ids[:, 9] = 2
    if is_one_graph:
        names = ["logits_per_image", "text_embeds", "image_embeds"]
        export(folder / "onnx/model.onnx", BothFeatures(model), [ids, pixels], names)
        return folder
    export(folder / "onnx/vision_model.onnx", ImageFeatures(model), [pixels], ["image_embeds"])
    export(folder / "onnx/text_model.onnx", TextFeatures(model), [ids], ["text_embeds"])
    return folder


class TokenVectors(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        output = self.model(input_ids, attention_mask, token_type_ids)
        result = output.logits if hasattr(output, "logits") else output.last_hidden_state
        assert isinstance(result, torch.Tensor)
        return result


def write_text_graph(folder: Path, model: Any, output: str) -> Path:
    """Write the ONNX graph of a BERT into its folder, and remove the weights for torch."""
    ids = torch.ones(2, 7, dtype=torch.int64)
    mask = ids.clone()
    mask[0, 3:] = 0
    (folder / "onnx").mkdir()
    export(folder / "onnx/model.onnx", TokenVectors(model.eval()), [ids, mask, ids * 0], [output])
    (folder / "model.safetensors").unlink()
    return folder


def export(
    path: Path, module: nn.Module, examples: Sequence[torch.Tensor], outputs: Sequence[str]
) -> None:
    import inspect

    inputs = list(inspect.signature(module.forward).parameters)
    axes = {
        name: {0: f"batch_{name}"} | ({1: "length"} if "pixel" not in name else {})
        for name in inputs
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own internals
        torch.onnx.export(
            module,
            tuple(examples),
            str(path),
            dynamo=False,
            input_names=inputs,
            output_names=list(outputs),
            dynamic_axes=axes | {name: {0: "batch"} for name in outputs},
        )
