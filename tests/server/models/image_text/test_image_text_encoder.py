from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from sightline.server.config.settings import EncoderSettings
from sightline.server.models import model_files
from sightline.server.models.image_text import image_text_encoder
from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.image_text_encoder import ImageTextEncoder
from sightline.server.models.model_files import FingerprintCache
from sightline.storage.errors import (
    ConfigurationError,
    InvalidArgumentError,
    MissingExtraError,
    UnknownNameError,
)
from tests.support import offline


def _load(tmp_path: Path, name: str, device: str = "cpu") -> ImageTextEncoder:
    return image_text_encoder.load(EncoderSettings(model=name, device=device), tmp_path / "data")


@pytest.fixture(scope="module")
def encoder(
    random_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageTextEncoder]:
    with closing(
        _load(tmp_path_factory.mktemp("x"), f"local-dir:{random_encoder_folder}")
    ) as loaded:
        yield loaded


@pytest.fixture
def folder(random_encoder_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the model folder that a test may change."""
    return Path(shutil.copytree(random_encoder_folder, tmp_path / "random-copy"))


def _images(count: int) -> list[Image.Image]:
    random = np.random.default_rng(3)
    return [
        Image.fromarray(random.integers(0, 256, (40 + n, 50, 3), dtype=np.uint8))
        for n in range(count)
    ]


async def test_vectors_equal_those_of_open_clip(
    encoder: ImageTextEncoder, random_encoder_folder: Path
) -> None:
    name = f"local-dir:{random_encoder_folder}"
    theirs, transform = open_clip.create_model_from_pretrained(name)
    theirs.eval()
    images, texts = _images(5), ["a red van", "un café", "一辆红色的车", ""]
    with torch.inference_mode():
        expected_images = theirs.encode_image(
            torch.stack([transform(image) for image in images]), normalize=True
        )
        expected_texts = theirs.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
    images = await encoder.encode_images([encoder.preprocess(image) for image in images])
    np.testing.assert_allclose(images, expected_images, atol=1e-6)
    np.testing.assert_allclose(await encoder.encode_texts(texts), expected_texts, atol=1e-6)
    assert images.dtype == np.float32


async def test_a_call_without_items_returns_no_rows(encoder: ImageTextEncoder) -> None:
    assert (await encoder.encode_texts([])).shape == (0, 32)
    assert (await encoder.encode_images([])).shape == (0, 32)


async def test_equal_texts_get_equal_vectors_in_the_order_of_the_call(
    encoder: ImageTextEncoder,
) -> None:
    first = await encoder.encode_texts(["b", "a", "b"])
    again = await encoder.encode_texts(["a", "b"])
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(again, first[[1, 0]])


async def test_a_caller_cannot_change_the_cached_vectors(
    encoder: ImageTextEncoder,
) -> None:
    vectors = await encoder.encode_texts(["kept"])
    original = vectors.copy()
    vectors[:] = 0
    np.testing.assert_array_equal(await encoder.encode_texts(["kept"]), original)


async def test_concurrent_calls_get_the_same_vectors_as_single_calls(
    encoder: ImageTextEncoder,
) -> None:
    pixels = [encoder.preprocess(image) for image in _images(24)]
    alone = np.concatenate([await encoder.encode_images([each]) for each in pixels])
    together = await asyncio.gather(*(encoder.encode_images([each]) for each in pixels))
    np.testing.assert_allclose(np.concatenate(together), alone, atol=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((32, 31, 3), np.uint8),
        np.zeros((32, 32, 3), np.float32),
        np.zeros((3, 32, 32), np.uint8),
    ],
)
async def test_pixels_of_a_wrong_shape_or_dtype_are_rejected(
    encoder: ImageTextEncoder, pixels: np.ndarray
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected uint8 of shape \(32, 32, 3\)"):
        await encoder.encode_images([pixels])


def test_the_identity_does_not_depend_on_the_location_of_the_folder(
    encoder: ImageTextEncoder, random_encoder_folder: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(random_encoder_folder, tmp_path / "elsewhere" / "random-clip"))
    with closing(_load(tmp_path, f"local-dir:{moved}")) as other:
        assert other.identity == encoder.identity
    assert encoder.identity.name == "local-dir:random-clip"
    assert encoder.identity.dimension == 32
    assert len(encoder.identity.weights) == len(encoder.identity.preprocessing) == 64


@pytest.mark.parametrize("changed", ["weights", "tokenizer", "architecture"])
def test_the_fingerprint_changes_with_every_file_that_changes_the_vectors(
    changed: str, folder: Path, tmp_path: Path
) -> None:
    cache = FingerprintCache(tmp_path)
    before = OpenClipFolder.open(folder).fingerprint(cache)
    if changed == "weights":
        with (folder / "open_clip_model.safetensors").open("ab") as file:
            file.write(b"x")
    elif changed == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    else:
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["quick_gelu"] = True
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert OpenClipFolder.open(folder).fingerprint(cache) != before


def test_a_folder_without_weights_is_an_error(folder: Path, tmp_path: Path) -> None:
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"has no weights.*random weights"):
        _load(tmp_path, f"local-dir:{folder}")


def test_weights_that_do_not_fit_are_an_error(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 48
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigurationError, match="'local-dir:random-copy' cannot be loaded"):
        _load(tmp_path, f"local-dir:{folder}")


def test_truncated_weights_are_an_error(folder: Path, tmp_path: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        _load(tmp_path, f"local-dir:{folder}")


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "has no open_clip_config.json"), ("{", "cannot read"), ("[]", "has no 'model_cfg'")],
)
def test_a_folder_without_a_readable_configuration_is_an_error(
    folder: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    (folder / "open_clip_config.json").unlink()
    if text is not None:
        (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        _load(tmp_path, f"local-dir:{folder}")


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"encoder folder .* does not exist"):
        _load(tmp_path, f"local-dir:{tmp_path / 'nowhere'}")


def test_an_unknown_architecture_is_rejected_with_the_available_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"architecture 'ViT-Z-9'\. .*Available: 'EVA01"):
        _load(tmp_path, "ViT-Z-9/openai")


def test_unknown_weights_are_rejected_with_the_available_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"ViT-B-32 'mine'. .*'laion2b_s34b_b79k'"):
        _load(tmp_path, "ViT-B-32/mine")


def test_weights_that_are_not_here_are_an_error_with_the_next_step(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from sightline.server.config.settings import EncoderSettings;"
        "from sightline.server.models.image_text import image_text_encoder;"
        "settings = EncoderSettings(model='ViT-B-32/laion2b_s34b_b79k');"
        "image_text_encoder.load(settings, Path(sys.argv[1]))"
    )
    stderr = offline.run_failing_program(program, tmp_path)
    assert "are not on this machine" in stderr
    assert "the server downloads nothing" in stderr
    assert "sightline models pull OWNER/MODEL" in stderr
    assert "local-dir:PATH" in stderr


def test_a_name_that_is_not_pulled_and_needs_torch_is_an_error_that_says_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "_TORCH_PACKAGES", ("no_such_torch",))
    message = r"no pulled model.*needs no_such_torch.*-m pip install 'sightline-mcp\[gpu\]'"
    with pytest.raises(MissingExtraError, match=message):
        _load(tmp_path, "some/clip")


def test_a_missing_device_is_rejected_with_the_available_ones(
    random_encoder_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown device 'cuda:99'\. Available: 'cpu'"):
        _load(tmp_path, f"local-dir:{random_encoder_folder}", device="cuda:99")


async def test_an_encoder_without_a_reference_cannot_say_what_is_familiar(
    encoder: ImageTextEncoder,
) -> None:
    assert encoder.familiarity(np.eye(3, encoder.identity.dimension, dtype=np.float32)) is None


def test_an_unreadable_picture_reference_is_rejected(folder: Path, tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 broken", b"no reference"):
        (folder / "picture_reference.npz").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"picture_reference\.npz"):
            _load(tmp_path, f"local-dir:{folder}")
