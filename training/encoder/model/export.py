"""Export a model folder for open_clip and ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import open_clip
import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from sightline.server.models.export.clip_graphs import export_graphs
from sightline.training.encoder.data import tokenizer as tokenizers
from sightline.training.encoder.data.album import write_atomically
from sightline.training.encoder.recipe import model_config, preprocess_config

CONFIG: Final = "open_clip_config.json"
WEIGHTS: Final = "open_clip_model.safetensors"


def export(weights: Mapping[str, Tensor], tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the folder. Existing files of the same name are replaced."""
    tokenizers.write(tokenizer, folder)
    config = {
        "model_cfg": model_config(len(tokenizer)),
        "preprocess_cfg": preprocess_config(),
    }
    write_json(folder / CONFIG, config)
    half = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in weights.items()
    }
    write_atomically(folder / WEIGHTS, save(half, metadata={"format": "pt"}))
    export_graphs(folder, WEIGHTS)


def load(folder: Path, device: torch.device) -> tuple[CustomTextCLIP, Any, PreTrainedTokenizerFast]:
    """Load model, preprocessing and tokenizer with open_clip."""
    name = f"local-dir:{folder}"
    model, preprocess = open_clip.create_model_from_pretrained(name, device=device)
    return model.eval(), preprocess, open_clip.get_tokenizer(name).tokenizer


def write_json(path: Path, value: object) -> None:
    """Write indented JSON atomically."""
    write_atomically(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())
