"""Write the trained model as a Hugging Face LLaVA folder that transformers and vLLM both read."""

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

_TOWER: Final = "vision_tower."
#: transformers 5 leaves this level out of the keys, vLLM wants it, and transformers reads it too.
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
    """Write config, fp16 weights, tokenizer, processor and chat template to ``folder``.

    Everything is written beside it first and moved in place at the end; files that are there
    already and are not ours (a model card) stay.
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
    save_file(_weights(model), part / "model.safetensors", {"format": "pt"})
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(part.iterdir()):
        # safetensors writes for its owner alone.
        file.chmod(0o644)
        file.replace(folder / file.name)
    part.rmdir()


def _weights(model: LlavaForConditionalGeneration) -> dict[str, Tensor]:
    """The weights in fp16 under the names that LLaVA checkpoints have had from the first."""
    weights = {}
    for name, tensor in model.state_dict().items():
        for ours, theirs in _PREFIXES:
            if name.startswith(ours):
                rest = name.removeprefix(ours).removeprefix(_LEVEL)
                weights[theirs + rest] = tensor.detach().to(torch.float16).cpu().contiguous()
                break
        else:
            raise ValueError(f"no place in a LLaVA checkpoint for the weight {name!r}")
    return weights


def _write_preprocessor(folder: Path, shape: Shape) -> None:
    """``preprocessor_config.json``: what servers older than ``processor_config.json`` read."""
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
