"""Count tokens with the tokenizer of GPT-4o, whose data LlamaIndex ships."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import tiktoken

_ENCODING = "o200k_base"


def count_tokens(text: str) -> int:
    """Return the number of tokens."""
    return len(_encoding().encode(text, disallowed_special=()))


@cache
def _encoding() -> tiktoken.Encoding:
    package = find_spec("llama_index.core")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("llama_index.core")
    folder = Path(package.origin).with_name("_static") / "tiktoken_cache"
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(folder))
    return tiktoken.get_encoding(_ENCODING)
