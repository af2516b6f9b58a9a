"""What the tests of the process share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

#: Small enough to run in a millisecond; every part that a real model has is there.
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


@pytest.fixture(scope="session")
def random_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip model folder whose weights are random, and whose name says so."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("models") / "random-clip"
    folder.mkdir()
    config = {"model_cfg": RANDOM_MODEL, "preprocess_cfg": RANDOM_PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.CLIP(**RANDOM_MODEL)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder
