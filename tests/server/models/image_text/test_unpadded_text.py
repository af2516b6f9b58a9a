"""Padding is cut off where a vector does not depend on it, and nowhere else."""

from __future__ import annotations

import open_clip
import pytest
import torch

from sightline.server.models.image_text.unpadded_text import trimmed

_VISION = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
_TEXT = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
#: Begin, words, end (the highest number, as in CLIP), padding: eight tokens at the longest.
_TOKENS = torch.tensor([[1, 7, 99, *[0] * 13], [1, 7, 8, 9, 3, 4, 5, 99, *[0] * 8]])


def _random_model(**text: object) -> open_clip.CustomTextCLIP:
    torch.manual_seed(7)
    return open_clip.CustomTextCLIP(32, _VISION, {**_TEXT, **text}).eval()


def _positions(model: open_clip.CustomTextCLIP) -> list[int]:
    """Filled with the length of every sequence that the tower's layers see."""
    seen: list[int] = []
    model.text.transformer.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    return seen


@pytest.mark.parametrize("text", [{"pool_type": "argmax"}, {"pool_type": "eos", "eos_id": 99}])
@torch.inference_mode()
def test_a_causal_tower_computes_no_padding_and_gives_the_same_vectors(
    text: dict[str, object],
) -> None:
    model = _random_model(**text)
    expected = model.encode_text(_TOKENS)
    seen = _positions(model)
    torch.testing.assert_close(trimmed(model)(_TOKENS), expected)
    assert seen == [8]
    torch.testing.assert_close(model.encode_text(_TOKENS), expected)  # the model is as it was


@pytest.mark.parametrize(
    "text", [{"pool_type": "last"}, {"no_causal_mask": True}, {"embed_cls": True}]
)
@torch.inference_mode()
def test_a_tower_whose_vector_depends_on_the_padding_keeps_it(text: dict[str, object]) -> None:
    model = _random_model(**text)
    expected = model.encode_text(_TOKENS)
    seen = _positions(model)
    torch.testing.assert_close(trimmed(model)(_TOKENS), expected)
    assert seen == [16 + bool(text.get("embed_cls"))]


@torch.inference_mode()
def test_a_text_without_an_end_is_read_as_the_model_reads_it() -> None:
    model = _random_model(pool_type="eos", eos_id=98)
    torch.testing.assert_close(trimmed(model)(_TOKENS), model.encode_text(_TOKENS))
