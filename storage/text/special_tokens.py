"""Escapes special tokens of language models in untrusted text.

Servers interpret a literal ``<image>`` in a user's text and then miscount the images;
``<|im_start|>`` would start a message with another role.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NAMES: Final = (
    "image|images|video|audio|img|img_context|image_pad|image_soft_token|"
    "start_of_image|end_of_image|start_of_turn|end_of_turn|bos|eos|pad|unk|mask|s|"
    "system|user|assistant|human|grounding|phrase|object|ref|box|quad|loc\\d{4}|loc_\\d{1,4}|"
    "patch_index_\\d{4}|think|tool_call|tool_response|begin_of_sentence|end_of_sentence"
)
#: ``<|anything|>`` (with both kinds of bar), and names of known model families in brackets.
_SPECIAL_TOKEN: Final = re.compile(
    rf"<(?=/?[|｜][^<>\n]{{1,60}}>|[|｜][^<>\n|｜]{{1,60}}[|｜]|/?(?:{_NAMES})/?>)|\[(?=/?INST\])",
    re.IGNORECASE,
)


def escape_special_tokens(text: str) -> str:
    """Insert a space after the opening bracket of each known special token.

    Lone surrogates and NUL characters, which no server accepts, are removed.
    """
    text = text.encode(errors="ignore").decode().replace("\x00", "")
    return _SPECIAL_TOKEN.sub(lambda match: match.group() + " ", text)


def escape_tokens(text: str, tokens: Iterable[str]) -> str:
    """Insert a space after the first character of each of ``tokens`` in the text."""
    for token in tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
