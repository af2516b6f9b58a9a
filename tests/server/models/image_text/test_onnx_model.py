"""The engines give the same vectors, so that they share an embedding space."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.export.clip_graphs import export_graphs
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.image_text_encoder import (
    BUILTIN_FOLDER,
    ImageTextModel,
    load_model,
)
from sightline.server.models.image_text.onnx_model import OnnxModel
from sightline.server.models.image_text.open_clip_model import OpenClipModel
from sightline.storage.errors import ConfigurationError, UnknownNameError

TEXTS = [
    "a red van beside a white bicycle",
    "白色的车",
    "",
    "a <|end|> in the text is text",  # a special token
    "caf\u00c3\u00a9 &amp; bar",  # UTF-8 read as Latin-1, and an HTML entity
    "two   spaces\nand a line",
    "many words " * 60,  # longer than the context
    *(" ".join(["word"] * count) for count in (9, 2, 30, 1, 14)),
]
TOLERANCE = 1e-4
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 16, "vocab_size": 1547, "width": 32, "heads": 2, "layers": 1}


def load(folder: Path, tmp_path: Path, **settings: object) -> ImageTextModel:
    options = EncoderSettings(**{"device": "cpu", "threads": 1, **settings})
    return load_model(options, tmp_path, OpenClipFolder.open(folder), "model")


def images(count: int = 11) -> list[Image.Image]:
    random = np.random.default_rng(3)
    return [
        Image.fromarray(random.integers(0, 256, (60 + 9 * n, 70, 3), dtype=np.uint8))
        for n in range(count)
    ]


def assert_equal_vectors(folder: Path, tmp_path: Path) -> None:
    onnx, torch_ = (load(folder, tmp_path, engine=engine) for engine in ("onnx", "open_clip"))
    assert isinstance(onnx, OnnxModel)
    assert isinstance(torch_, OpenClipModel)
    assert onnx.identity == torch_.identity
    pixels = [onnx.preprocess(image) for image in images()]
    assert np.array_equal(onnx.normalize(pixels), torch_.normalize(pixels).numpy())
    for ours, theirs in (
        (onnx.encode_images(pixels), torch_.encode_images(pixels)),
        (onnx.encode_texts(TEXTS), torch_.encode_texts(TEXTS)),
    ):
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
    alone = [onnx.encode_texts([text])[0] for text in TEXTS]
    np.testing.assert_allclose(alone, onnx.encode_texts(TEXTS), atol=TOLERANCE)


def test_the_builtin_encoder_gives_the_vectors_of_open_clip(tmp_path: Path) -> None:
    assert_equal_vectors(BUILTIN_FOLDER, tmp_path)


@pytest.fixture(scope="module")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("onnx") / "random", {"pool_type": "argmax"})


def write_folder(folder: Path, text: dict[str, object]) -> Path:
    """Write a small model with random weights and the built-in tokenizer."""
    folder.mkdir()
    torch.manual_seed(7)
    text = {**TEXT, **text, "hf_tokenizer_name": "builtin-clip"}
    sizes = {key: value for key, value in text.items() if key != "hf_tokenizer_name"}
    model = open_clip.CustomTextCLIP(16, VISION, sizes)
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "custom_text": True,
            "vision_cfg": VISION,
            "text_cfg": {**text, "tokenizer_kwargs": {"clean": "canonicalize"}},
        },
        "preprocess_cfg": {"size": 32, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUILTIN_FOLDER / name, folder)
    export_graphs(folder, "open_clip_model.safetensors")
    return folder


def test_an_exported_folder_gives_the_vectors_of_open_clip(
    random_folder: Path, tmp_path: Path
) -> None:
    assert_equal_vectors(random_folder, tmp_path)


@pytest.mark.slow
def test_a_text_tower_that_reads_the_padding_gets_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "random", {"pool_type": "last", "no_causal_mask": True})
    assert_equal_vectors(folder, tmp_path)


def test_the_graphs_contain_no_weights(random_folder: Path) -> None:
    weights = (random_folder / "open_clip_model.safetensors").stat().st_size
    for name in ("vision_model.onnx", "text_model.onnx"):
        assert (random_folder / name).stat().st_size < weights / 4


def test_the_builtin_encoder_loads_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from sightline.server.config.settings import EncoderSettings;"
        "from sightline.server.models.image_text import image_text_encoder;"
        "image_text_encoder.load(EncoderSettings(), Path(sys.argv[1])).close();"
        "print(sorted({'torch', 'transformers', 'open_clip'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_half_precision_runs_on_torch(random_folder: Path, tmp_path: Path) -> None:
    assert isinstance(load(random_folder, tmp_path, precision="bf16"), OpenClipModel)


def test_the_onnx_engine_needs_graphs(random_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(random_folder, tmp_path / "random"))
    (folder / "text_model.onnx").unlink()
    assert isinstance(load(folder, tmp_path), OpenClipModel)
    with pytest.raises(ConfigurationError, match=r"'builtin' has no ONNX graphs.*auto"):
        load(folder, tmp_path, engine="onnx")


def test_a_device_without_provider_is_rejected(random_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown device 'cuda:1'.*'auto', 'cpu'"):
        load(random_folder, tmp_path, engine="onnx", device="cuda:1")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("vision_model.onnx", b"no graph", r"vision_model\.onnx' cannot be loaded"),
        ("open_clip_model.safetensors", b"cut", r"vision_model\.onnx' cannot be loaded"),
        ("tokenizer.json", b"{}", "no readable tokenizer"),
        ("tokenizer_config.json", b'{"pad_token": "<none>"}', "has no token '<none>'"),
    ],
)
def test_a_broken_file_is_named(
    file: str, content: bytes, message: str, random_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(random_folder, tmp_path / "random"))
    (folder / file).write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        load(folder, tmp_path, engine="onnx")
