"""Session fixtures: a tokenizer and a tiny LLaVA."""

from __future__ import annotations

import pytest
import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data.tokenizer import train_tokenizer
from sightline.training.vlm.model.llava import build_model
from tests.support.training_records import TINY


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(["What colour is the white van? [1]", "红色的车在哪里？"] * 9, 300)


@pytest.fixture(scope="session")
def model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    torch.manual_seed(1)
    return build_model(TINY, tokenizer).eval()
