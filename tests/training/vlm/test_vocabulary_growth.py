"""Tests of tokens that are added to a trained tokenizer."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data.tokenizer import coordinate_ids
from sightline.training.vlm.data.vocabulary_growth import AddedToken, grow_rows, grow_tokenizer
from sightline.training.vlm.model.llava import build_model
from sightline.training.vlm.recipe import load_weights
from tests.support.training_records import TINY

OLD = ["What colour is the white van? [1]", "红色的车在哪里？", "[0.10,0.20,0.30,0.40]"]
NEW = ["Could you please tell me about the white van?", "请帮忙看看红色的车停在哪里？"] * 20


@pytest.fixture
def grown(
    tokenizer: PreTrainedTokenizerFast,
) -> tuple[PreTrainedTokenizerFast, list[AddedToken]]:
    again = copy.deepcopy(tokenizer)
    return again, grow_tokenizer(again, OLD, NEW, 200)


def test_new_words_become_tokens_and_old_texts_keep_theirs(
    tokenizer: PreTrainedTokenizerFast,
    grown: tuple[PreTrainedTokenizerFast, list[AddedToken]],
) -> None:
    again, added = grown
    assert [each.id for each in added] == list(range(len(tokenizer), len(again)))
    for text in OLD:
        assert again.encode(text) == tokenizer.encode(text)
    for text in (*NEW[:2], "never seen: 萝卜 žluťoučký"):
        assert again.decode(again.encode(text)) == text
    assert len(again.encode(" please")) == 1 < len(tokenizer.encode(" please"))
    assert len(again.encode("帮忙")) == 2 < len(tokenizer.encode("帮忙"))
    assert coordinate_ids(again) == coordinate_ids(tokenizer)


def test_the_number_of_new_tokens_is_limited(tokenizer: PreTrainedTokenizerFast) -> None:
    again = copy.deepcopy(tokenizer)
    assert len(grow_tokenizer(again, OLD, NEW, 7)) == 7
    assert len(again) == len(tokenizer) + 7


def test_new_rows_are_the_mean_of_the_rows_that_they_replace() -> None:
    weight = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
    rows = grow_rows(weight, [AddedToken(2, 0, 1), AddedToken(3, 2, 1)])
    assert rows.tolist() == [[0, 2], [4, 6], [2, 4], [3, 5]]


def test_a_trained_model_is_loaded_with_more_tokens(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    grown: tuple[PreTrainedTokenizerFast, list[AddedToken]],
    tmp_path: Path,
) -> None:
    model.save_pretrained(tmp_path / "model")
    again, added = grown
    wider = build_model(TINY, again)
    wider.load_state_dict(load_weights(tmp_path / "model", wider, added))
    old = len(tokenizer)
    for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        before, after = model.state_dict()[name], wider.state_dict()[name]
        torch.testing.assert_close(after[:old], before, atol=2e-3, rtol=1e-2)
        assert after[old:].abs().sum() > 0
    with pytest.raises(ValueError, match="expected"):
        load_weights(tmp_path / "model", wider)
