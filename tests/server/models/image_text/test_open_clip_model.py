from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from sightline.server.models.image_text.checkpoint import OpenClipFolder
from sightline.server.models.image_text.open_clip_model import (
    ModelSource,
    OpenClipModel,
    without_padding,
)
from sightline.server.models.model_files import FingerprintCache
from sightline.storage.errors import ModelError

_VISION = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
_TEXT = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
#: Start, words, end (the highest id, as in CLIP), padding. At most eight tokens before padding.
_TOKENS = torch.tensor([[1, 7, 99, *[0] * 13], [1, 7, 8, 9, 3, 4, 5, 99, *[0] * 8]])


def _random_model(**text: object) -> open_clip.CustomTextCLIP:
    torch.manual_seed(7)
    return open_clip.CustomTextCLIP(32, _VISION, {**_TEXT, **text}).eval()


def _record_lengths(model: open_clip.CustomTextCLIP) -> list[int]:
    """Return a list that collects the sequence length of every forward pass."""
    seen: list[int] = []
    model.text.transformer.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    return seen


@pytest.mark.parametrize("text", [{"pool_type": "argmax"}, {"pool_type": "eos", "eos_id": 99}])
@torch.inference_mode()
def test_a_causal_tower_skips_the_padding_and_gives_the_same_vectors(
    text: dict[str, object],
) -> None:
    model = _random_model(**text)
    expected = model.encode_text(_TOKENS)
    seen = _record_lengths(model)
    torch.testing.assert_close(without_padding(model)(_TOKENS), expected)
    assert seen == [8]
    torch.testing.assert_close(model.encode_text(_TOKENS), expected)  # the model is unchanged


@pytest.mark.parametrize(
    "text", [{"pool_type": "last"}, {"no_causal_mask": True}, {"embed_cls": True}]
)
@torch.inference_mode()
def test_a_tower_whose_vector_depends_on_the_padding_keeps_it(text: dict[str, object]) -> None:
    model = _random_model(**text)
    expected = model.encode_text(_TOKENS)
    seen = _record_lengths(model)
    torch.testing.assert_close(without_padding(model)(_TOKENS), expected)
    assert seen == [16 + bool(text.get("embed_cls"))]


@torch.inference_mode()
def test_a_text_without_an_end_token_gives_the_same_vector() -> None:
    model = _random_model(pool_type="eos", eos_id=98)
    torch.testing.assert_close(without_padding(model)(_TOKENS), model.encode_text(_TOKENS))


def _images(count: int) -> list[Image.Image]:
    random = np.random.default_rng(3)
    return [
        Image.fromarray(random.integers(0, 256, (40 + n, 50, 3), dtype=np.uint8))
        for n in range(count)
    ]


def test_normalized_pixels_equal_those_of_open_clip_bit_for_bit(
    random_encoder_folder: Path, tmp_path: Path
) -> None:
    source = ModelSource.from_folder(
        OpenClipFolder.open(random_encoder_folder), "random", FingerprintCache(tmp_path)
    )
    model = OpenClipModel(source, device="cpu")
    _, transform = open_clip.create_model_from_pretrained(source.model_name)
    images = _images(6)
    ours = model.normalize([model.preprocess(image) for image in images])
    assert torch.equal(ours, torch.stack([transform(image) for image in images]))


def test_a_word_of_a_hundred_thousand_letters_takes_no_minutes(
    random_encoder_folder: Path, tmp_path: Path
) -> None:
    """The tokenizer of CLIP takes quadratic time on a word."""
    model = _SmallMemory(random_encoder_folder, tmp_path, capacity=3)
    letters = np.random.default_rng(1).integers(ord("a"), ord("z") + 1, 100_000, dtype=np.uint8)
    started = time.process_time()
    vector = model.encode_texts([letters.tobytes().decode()])
    assert time.process_time() - started < 20
    assert np.array_equal(vector, model.encode_texts([letters[:5_000].tobytes().decode()]))


def test_a_batch_that_does_not_fit_in_memory_is_halved_and_stays_so(
    random_encoder_folder: Path, tmp_path: Path
) -> None:
    model = _SmallMemory(random_encoder_folder, tmp_path, capacity=3)
    texts = [f"text {n}" for n in range(20)]
    model.batches.clear()
    for _ in range(2):
        assert model.encode_texts(texts).shape == (20, 32)
    assert model.batches == [2] * 20


def test_a_single_item_that_does_not_fit_in_memory_is_an_error(
    random_encoder_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="does not fit in the memory of cpu"):
        _SmallMemory(random_encoder_folder, tmp_path, capacity=0)


class _SmallMemory(OpenClipModel):
    """The real model on a device with memory for ``capacity`` items."""

    def __init__(self, folder: Path, data_dir: Path, capacity: int) -> None:
        self.capacity = capacity
        self.batches: list[int] = []
        source = ModelSource.from_folder(
            OpenClipFolder.open(folder), "random", FingerprintCache(data_dir)
        )
        super().__init__(source, device="cpu")

    def _run(self, forward, items):  # type: ignore[no-untyped-def]
        def limited(part):  # type: ignore[no-untyped-def]
            if len(part) > self.capacity:
                raise torch.OutOfMemoryError
            self.batches.append(len(part))
            return forward(part)

        return super()._run(limited, items)
