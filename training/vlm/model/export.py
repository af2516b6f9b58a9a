"""Export the model as a LLaVA folder for transformers, vLLM and ONNX Runtime."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data.tokenizer import save_chat_template
from sightline.training.vlm.model.llava import Shape, build_processor
from sightline.training.vlm.model.onnx_graphs import WEIGHTS, export_graphs

_TOWER: Final = "vision_tower."
#: Key prefix that vLLM requires; transformers 5 omits it when saving but accepts it.
_LEVEL: Final = "vision_model."
_PREFIXES: Final = (
    ("model.vision_tower.", _TOWER + _LEVEL),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)


def export_model(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    shape: Shape,
    folder: Path,
) -> None:
    """Write config, fp16 weights, tokenizer, processor, chat template and ONNX graphs.

    Files are written to a temporary folder and moved at the end. Other existing files (a model
    card) are kept.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    model.config.architectures = ["LlavaForConditionalGeneration"]
    model.config.save_pretrained(part)
    model.generation_config.save_pretrained(part)
    build_processor(shape, tokenizer).save_pretrained(part)
    tokenizer.save_pretrained(part)
    save_chat_template(part)
    _write_preprocessor(part, shape)
    save_file(_weights(model), part / WEIGHTS, {"format": "pt"})
    export_graphs(part)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(part.iterdir()):
        # safetensors writes files that only the owner can read.
        file.chmod(0o644)
        file.replace(folder / file.name)
    part.rmdir()


def _weights(model: LlavaForConditionalGeneration) -> dict[str, Tensor]:
    """Return fp16 weights with the standard LLaVA checkpoint names."""
    weights = {}
    for name, tensor in model.state_dict().items():
        for prefix, exported_prefix in _PREFIXES:
            if name.startswith(prefix):
                rest = name.removeprefix(prefix).removeprefix(_LEVEL)
                weights[exported_prefix + rest] = (
                    tensor.detach().to(torch.float16).cpu().contiguous()
                )
                break
        else:
            raise ValueError(f"Weight {name!r} has no name in LLaVA checkpoints.")
    return weights


def _write_preprocessor(folder: Path, shape: Shape) -> None:
    """Write ``preprocessor_config.json`` for older servers."""
    size = {"height": shape.edge, "width": shape.edge}
    settings = {
        "image_processor_type": "SiglipImageProcessor",
        "processor_class": "LlavaProcessor",
        "do_resize": True,
        "size": size,
        "crop_size": size,
        "do_center_crop": False,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
    }
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
