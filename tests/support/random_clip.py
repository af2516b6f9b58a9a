"""Writes a small open_clip model with random weights."""

from __future__ import annotations

import json
from pathlib import Path

#: Runs in a millisecond and has every part of a real model.
RANDOM_MODEL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
RANDOM_PREPROCESS = {
    "size": 32,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def write(
    folder: Path,
    model: dict[str, object] | None = None,
    preprocess: dict[str, object] | None = None,
) -> Path:
    """Write an open_clip model folder; its name must contain "random"."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    assert "random" in folder.name
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    model = model or dict(RANDOM_MODEL)
    config = {"model_cfg": model, "preprocess_cfg": preprocess or RANDOM_PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = {
        name: value.contiguous() for name, value in open_clip.CLIP(**model).state_dict().items()
    }
    save_file(state, folder / "open_clip_model.safetensors")
    return folder
