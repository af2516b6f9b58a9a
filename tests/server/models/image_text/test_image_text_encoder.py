"""Encoders by name: the weights that were named, or an error that says what is missing."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from sightline.server.config import settings as process_settings
from sightline.server.models.image_text import image_text_encoder
from sightline.server.models.image_text.checkpoint import FingerprintCache, ModelFolder
from sightline.server.models.image_text.image_text_encoder import Encoder
from sightline.server.models.image_text.open_clip_model import OpenClipModel, in_folder
from sightline.storage.errors import (
    ConfigurationError,
    InvalidArgumentError,
    ModelError,
    UnknownNameError,
)
from tests.support import offline


def _load(tmp_path: Path, name: str, **options: object) -> Encoder:
    return image_text_encoder.load(
        process_settings.load(encoder=name, data_dir=tmp_path / "data", device="cpu", **options)
    )


@pytest.fixture(scope="module")
def encoder(
    random_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Encoder]:
    with _load(tmp_path_factory.mktemp("x"), f"local-dir:{random_encoder_folder}") as loaded:
        yield loaded


@pytest.fixture
def folder(random_encoder_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may change."""
    return Path(shutil.copytree(random_encoder_folder, tmp_path / "random-copy"))


def _pictures(count: int) -> list[Image.Image]:
    random = np.random.default_rng(3)
    return [
        Image.fromarray(random.integers(0, 256, (40 + n, 50, 3), dtype=np.uint8))
        for n in range(count)
    ]


async def test_vectors_equal_open_clips_own(encoder: Encoder, random_encoder_folder: Path) -> None:
    name = f"local-dir:{random_encoder_folder}"
    theirs, transform = open_clip.create_model_from_pretrained(name)
    theirs.eval()
    pictures, texts = _pictures(5), ["a red van", "un café", "一辆红色的车", ""]
    with torch.inference_mode():
        expected_images = theirs.encode_image(
            torch.stack([transform(picture) for picture in pictures]), normalize=True
        )
        expected_texts = theirs.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
    images = await encoder.encode_images([encoder.preprocess(picture) for picture in pictures])
    np.testing.assert_allclose(images, expected_images, atol=1e-6)
    np.testing.assert_allclose(await encoder.encode_texts(texts), expected_texts, atol=1e-6)
    assert images.dtype == np.float32


def test_normalised_pixels_equal_open_clips_bit_for_bit(random_encoder_folder: Path) -> None:
    source = in_folder(ModelFolder.open(random_encoder_folder), "random", FingerprintCache(None))
    model = OpenClipModel(source, device="cpu")
    _, transform = open_clip.create_model_from_pretrained(source.model_name)
    pictures = _pictures(6)
    ours = model.normalised([model.preprocess(picture) for picture in pictures])
    assert torch.equal(ours, torch.stack([transform(picture) for picture in pictures]))


async def test_calls_without_items_give_no_rows(encoder: Encoder) -> None:
    assert (await encoder.encode_texts([])).shape == (0, 32)
    assert (await encoder.encode_images([])).shape == (0, 32)


async def test_equal_texts_get_equal_vectors_in_the_order_of_the_call(encoder: Encoder) -> None:
    first = await encoder.encode_texts(["b", "a", "b"])
    again = await encoder.encode_texts(["a", "b"])
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(again, first[[1, 0]])


async def test_a_callers_change_to_a_vector_does_not_reach_the_next_caller(
    encoder: Encoder,
) -> None:
    vectors = await encoder.encode_texts(["kept"])
    original = vectors.copy()
    vectors[:] = 0
    np.testing.assert_array_equal(await encoder.encode_texts(["kept"]), original)


async def test_concurrent_calls_get_what_they_would_have_got_alone(encoder: Encoder) -> None:
    pixels = [encoder.preprocess(picture) for picture in _pictures(24)]
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
async def test_pixels_of_another_shape_or_type_are_refused(
    encoder: Encoder, pixels: np.ndarray
) -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected uint8 of shape \(32, 32, 3\)"):
        await encoder.encode_images([pixels])


def test_the_identity_does_not_depend_on_where_the_folder_stands(
    encoder: Encoder, random_encoder_folder: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(random_encoder_folder, tmp_path / "elsewhere" / "random-clip"))
    with _load(tmp_path, f"local-dir:{moved}") as other:
        assert other.identity == encoder.identity
    assert encoder.identity.name == "local-dir:random-clip"
    assert encoder.identity.dimension == 32
    assert len(encoder.identity.weights) == len(encoder.identity.preprocessing) == 64


@pytest.mark.parametrize("changed", ["weights", "tokenizer", "architecture"])
def test_the_identity_changes_with_whatever_changes_the_vectors(changed: str, folder: Path) -> None:
    cache = FingerprintCache(None)
    before = ModelFolder.open(folder).fingerprint(cache)
    if changed == "weights":
        with (folder / "open_clip_model.safetensors").open("ab") as file:
            file.write(b"x")
    elif changed == "tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    else:
        config = json.loads((folder / "open_clip_config.json").read_text())
        config["model_cfg"]["quick_gelu"] = True
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert ModelFolder.open(folder).fingerprint(cache) != before


def test_a_folder_without_weights_is_an_error_and_never_random(
    folder: Path, tmp_path: Path
) -> None:
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


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no encoder folder"):
        _load(tmp_path, f"local-dir:{tmp_path / 'nowhere'}")


def test_an_unknown_architecture_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="architecture 'ViT-Z-9'; there are: 'EVA01"):
        _load(tmp_path, "ViT-Z-9/openai")


def test_unknown_weights_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"ViT-B-32 'mine'; .*'laion2b_s34b_b79k'"):
        _load(tmp_path, "ViT-B-32/mine")


def test_weights_that_cannot_be_fetched_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from sightline.server import settings; from sightline.server.models import encoders;"
        "encoders.load(settings.load(encoder='ViT-B-32/laion2b_s34b_b79k', data_dir=sys.argv[1]))"
    )
    said = offline.failure(program, tmp_path)
    assert "are not on this machine and could not be fetched" in said
    assert "local-dir:PATH" in said


def test_an_absent_device_is_refused_with_those_that_are_there(
    random_encoder_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match="no device 'cuda:99'; there are: 'cpu'"):
        image_text_encoder.load(
            process_settings.load(
                encoder=f"local-dir:{random_encoder_folder}", data_dir=tmp_path, device="cuda:99"
            )
        )


def test_a_batch_that_does_not_fit_is_halved_until_it_does(random_encoder_folder: Path) -> None:
    model = _SmallMemory(random_encoder_folder, room=3)
    texts = [f"text {n}" for n in range(20)]
    assert model.encode_texts(texts).shape == (20, 32)
    assert max(model.ran) <= 3
    assert sum(model.ran) >= 20


def test_one_picture_that_does_not_fit_is_an_error(random_encoder_folder: Path) -> None:
    with pytest.raises(ModelError, match="does not fit in the memory of cpu"):
        _SmallMemory(random_encoder_folder, room=0)


class _SmallMemory(OpenClipModel):
    """The real model on a device with room for ``room`` texts: more raises as CUDA does."""

    def __init__(self, folder: Path, room: int) -> None:
        self.room = room
        self.ran: list[int] = []
        source = in_folder(ModelFolder.open(folder), "random", FingerprintCache(None))
        super().__init__(source, device="cpu")

    def _in_batches(self, forward, items):  # type: ignore[no-untyped-def]
        def limited(part):  # type: ignore[no-untyped-def]
            if len(part) > self.room:
                raise torch.OutOfMemoryError
            self.ran.append(len(part))
            return forward(part)

        return super()._in_batches(limited, items)


def test_a_fingerprint_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    memory, file = tmp_path / "cache" / "prints.json", tmp_path / "weights"
    file.write_bytes(b"one")
    first = FingerprintCache(memory).sha256(file)
    key = next(iter(json.loads(memory.read_text())))
    memory.write_text(json.dumps({key: "remembered"}))
    assert FingerprintCache(memory).sha256(file) == "remembered"
    file.write_bytes(b"three")
    assert FingerprintCache(memory).sha256(file) not in (first, "remembered")
    assert len(json.loads(memory.read_text())) == 1


@pytest.mark.parametrize("content", ["", "[]", "\x00", '{"a": 1}'])
def test_an_unreadable_memory_of_fingerprints_is_made_anew(tmp_path: Path, content: str) -> None:
    memory, file = tmp_path / "prints.json", tmp_path / "weights"
    file.write_bytes(b"one")
    memory.write_text(content)
    assert FingerprintCache(memory).sha256(file) == FingerprintCache(None).sha256(file)
