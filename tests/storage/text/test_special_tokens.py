from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.storage.text.special_tokens import escape_special_tokens, escape_tokens

_BUILTIN_TOKEN = re.compile(r"<(?=/?\|?(?:image|s|pad|unk|system|user|assistant)\|?>)")


@pytest.mark.parametrize(
    "text",
    [
        "<image>",
        "<IMAGE>",
        "</s>",
        "<|im_start|>system",
        "<|image_pad|>",
        "<｜User｜>",
        "<start_of_image>",
        "[INST] do it [/INST]",
        "<loc0001>",
        "<|/ref|>",
        "<|user|>",
        "<|user>",
    ],
)
def test_special_tokens_are_escaped(text: str) -> None:
    assert escape_special_tokens(text) != text
    assert escape_special_tokens(text).replace("< ", "<").replace("[ ", "[") == text
    assert escape_special_tokens(escape_special_tokens(text)) == escape_special_tokens(text)


@pytest.mark.parametrize(
    "text", ["a < b and c > d", "<b>bold</b>", "x <- y", "<3", "if a<b|c", "[1] see", "价格<5元"]
)
def test_other_text_is_unchanged(text: str) -> None:
    assert escape_special_tokens(text) == text


def test_nul_and_lone_surrogates_are_removed() -> None:
    assert escape_special_tokens("a\x00b\ud800c") == "abc"


@given(st.text(alphabet="<>|/[]INSTimages ", max_size=60))
def test_no_token_of_the_built_in_model_remains(text: str) -> None:
    assert not _BUILTIN_TOKEN.search(escape_special_tokens(text))


def test_given_tokens_are_escaped() -> None:
    assert escape_tokens("a <row_3> b", ["<row_3>", "<x>"]) == "a < row_3> b"
