"""Models in the layout of transformers.js give the vectors that transformers gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, SiglipImageProcessor

from sightline.server.config.settings import EncoderSettings
from sightline.server.models.image_text.image_text_encoder import (
    BUILTIN_FOLDER,
    ImageTextModel,
    load_model,
    open_folder,
)
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.storage.errors import ConfigurationError
from tests.support import onnx_folders
from tests.support.onnx_folders import CLIP_IMAGES, SIGLIP_IMAGES

TEXTS = ["a red van beside a white bicycle", "Red", "", "many words " * 60]
#: The context of the small models, and the built-in tokenizer's id of the padding.
LENGTH, PAD = 16, 0


def load(folder: Path, data_dir: Path, **settings: Any) -> ImageTextModel:
    options = EncoderSettings(**{"device": "cpu", "threads": 1, **settings})
    return load_model(options, data_dir, open_folder(folder), "model")


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height)).convert("RGB")


def reference_texts(
    model: Any, folder: Path, prepare: Callable[[str], str], length: int | None
) -> np.ndarray:
    """Encode each text alone, so that nothing is padded that need not be."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(prepare(text)).ids
        ids += [PAD] * ((length or 0) - len(ids))
        with torch.inference_mode():
            features = onnx_folders.TextFeatures(model)(torch.tensor([ids]))
        rows.append(torch.nn.functional.normalize(features, dim=-1)[0].numpy())
    return np.stack(rows)


def assert_agreement(
    model: Any,
    folder: Path,
    data_dir: Path,
    processor: Any,
    *,
    prepare: Callable[[str], str] = str,
    length: int | None = None,
) -> ImageTextModel:
    ours = load(folder, data_dir)
    pictures = [picture(64, 40), picture(40, 64), picture(32, 32)]
    pixels = [ours.preprocess(each) for each in pictures]
    inputs = processor(images=pictures, return_tensors="pt")["pixel_values"]
    # transformers resizes with torchvision, whose rounding differs from Pillow's.
    theirs_pixels = inputs.numpy() * np.reshape(processor.image_std, (3, 1, 1))
    theirs_pixels += np.reshape(processor.image_mean, (3, 1, 1))
    difference = np.stack(pixels).transpose(0, 3, 1, 2) / 255 - theirs_pixels
    assert np.abs(difference).max() < 2 / 255
    with torch.inference_mode():
        features = onnx_folders.ImageFeatures(model)(inputs)
    theirs = torch.nn.functional.normalize(features, dim=-1).numpy()
    assert (ours.encode_images(pixels) * theirs).sum(1).min() > 0.9999
    texts = reference_texts(model, folder, prepare, length)
    np.testing.assert_allclose(ours.encode_texts(TEXTS), texts, atol=1e-5)
    return ours


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip") / "clip"
    return onnx_folders.write_encoder(folder, onnx_folders.clip(), CLIP_IMAGES)


def test_clip_gives_the_vectors_of_transformers(clip_folder: Path, tmp_path: Path) -> None:
    processor = CLIPImageProcessor(**CLIP_IMAGES)
    ours = assert_agreement(onnx_folders.clip(), clip_folder, tmp_path, processor)
    assert ours.identity.dimension == 16
    assert ours.preprocess.resize == "shortest"


def test_siglip_reads_padded_texts_in_lower_case(tmp_path: Path) -> None:
    model = onnx_folders.siglip()
    folder = onnx_folders.write_encoder(tmp_path / "siglip", model, SIGLIP_IMAGES)
    processor = SiglipImageProcessor(**SIGLIP_IMAGES)
    assert_agreement(model, folder, tmp_path, processor, prepare=str.lower, length=LENGTH)


def test_one_graph_of_both_towers_gives_the_same_vectors(clip_folder: Path, tmp_path: Path) -> None:
    model = onnx_folders.clip()
    folder = onnx_folders.write_encoder(tmp_path / "both", model, CLIP_IMAGES, is_one_graph=True)
    one, two = load(folder, tmp_path), load(clip_folder, tmp_path)
    pixels = [two.preprocess(picture(40, 50))] * 3
    np.testing.assert_allclose(one.encode_images(pixels), two.encode_images(pixels), atol=1e-5)
    np.testing.assert_allclose(one.encode_texts(TEXTS), two.encode_texts(TEXTS), atol=1e-5)
    assert one.identity != two.identity


def test_the_encoder_runs_without_torch(clip_folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from sightline.server.config.settings import EncoderSettings;"
        "from sightline.server.models.image_text import image_text_encoder;"
        "settings = EncoderSettings(model=f'local-dir:{sys.argv[1]}');"
        "image_text_encoder.load(settings, Path(sys.argv[2])).close();"
        "print(sorted({'torch', 'transformers', 'open_clip'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(clip_folder), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_folder_with_graphs_only_does_not_run_on_torch(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has ONNX graphs only"):
        load(clip_folder, tmp_path, engine="open_clip")
    assert load(clip_folder, tmp_path, precision="fp16").identity.dimension == 16


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("preprocessor_config.json", None, r"no open_clip_config\.json"),
        ("config.json", "[]", r"no config\.json"),
        ("tokenizer.json", "{}", "no readable tokenizer"),
        ("tokenizer_config.json", '{"pad_token": "<none>"}', "has no token '<none>'"),
        ("onnx/text_model.onnx", None, "has no ONNX graphs"),
        ("onnx/vision_model.onnx", "x", r"vision_model\.onnx' cannot be loaded"),
    ],
)
def test_a_broken_file_is_named(
    file: str, content: str | None, message: str, clip_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(clip_folder, tmp_path / "clip"))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(ConfigurationError, match=message):
        load(folder, tmp_path)


def test_the_fingerprint_changes_with_the_vectors_and_not_with_the_location(
    clip_folder: Path, tmp_path: Path
) -> None:
    before = load(clip_folder, tmp_path).identity
    folder = Path(shutil.copytree(clip_folder, tmp_path / "elsewhere"))
    assert load(folder, tmp_path).identity == before
    config = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**config, "resample": 2}))
    assert load(folder, tmp_path).identity.preprocessing != before.preprocessing
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**tokens, "model_max_length": 9}))
    assert load(folder, tmp_path).identity.weights != before.weights


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"size": 224, "do_center_crop": True, "crop_size": 224}, ("shortest", 224, 224)),
        ({"size": 256}, ("squash", 256, 256)),
        ({"size": {"height": 10, "width": 20}, "do_center_crop": False}, ("squash", 10, 20)),
        ({"size": {"shortest_edge": 256}, "crop_size": 256, "do_center_crop": True},
         ("shortest", 256, 256)),
        ({"size": 224, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "resize_mode": "shortest"},
         ("shortest", 224, 224)),
    ],
)  # fmt: skip
def test_sizes_of_published_models_are_understood(
    config: Mapping[str, Any], expected: tuple[str, int, int]
) -> None:
    found = Preprocess.from_transformers(config)
    assert (found.resize, found.height, found.width) == expected


def test_images_without_normalization_keep_their_values() -> None:
    found = Preprocess.from_transformers({"size": 8, "do_normalize": False})
    assert (found.mean, found.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"size": 224, "resample": 0}, "resample 0"),
        ({"size": 224, "do_resize": False}, "resample 3"),
        ({"size": 256, "crop_size": 224, "do_center_crop": True}, r"Cannot crop \(224, 224\)"),
        ({"size": {"longest_edge": 10}}, "size"),
    ],
)
def test_unknown_steps_are_rejected(config: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Preprocess.from_transformers(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("preprocessor_config.json", {"image_mean": None}),
        ("preprocessor_config.json", {"resample": []}),
        ("config.json", {"text_config": [1]}),
        ("config.json", {"text_config": {"max_position_embeddings": "x"}}),
    ],
)
def test_values_of_the_wrong_type_are_an_error(name: str, value: object, tmp_path: Path) -> None:
    shutil.copy(BUILTIN_FOLDER / "tokenizer.json", tmp_path)
    for graph in ("vision_model.onnx", "text_model.onnx"):
        (tmp_path / graph).touch()
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<|pad|>"}')
    for file in ("config.json", "preprocessor_config.json"):
        (tmp_path / file).write_text(json.dumps(value if file == name else {}))
    with pytest.raises(ConfigurationError, match=r"The configuration of .* is invalid"):
        load(tmp_path, tmp_path / "data")
