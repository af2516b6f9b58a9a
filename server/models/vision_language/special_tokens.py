"""Text from anywhere, made unable to pass for a model's own markup.

Servers accept a literal ``<image>`` in a user's text and then miscount the pictures;
``<|im_start|>`` would speak as somebody else.
"""

from __future__ import annotations

import re
from typing import Final

_NAMES: Final = "|".join(
    (
        "image|images|video|audio|img|img_context|image_pad|image_soft_token",
        "start_of_image|end_of_image|start_of_turn|end_of_turn|bos|eos|pad|unk|mask|s",
        "system|user|assistant|human|grounding|phrase|object|ref|box|quad|loc\\d{4}|loc_\\d{1,4}",
        "patch_index_\\d{4}|think|tool_call|tool_response|begin_of_sentence|end_of_sentence",
    )
)
#: ``<|anything|>`` (both kinds of bar), and the names that known families use in plain brackets.
_MARKUP: Final = re.compile(
    rf"<(?=/?[|｜][^<>\n]{{1,60}}>|[|｜][^<>\n|｜]{{1,60}}[|｜]|/?(?:{_NAMES})/?>)|\[(?=/?INST\])",
    re.IGNORECASE,
)


def harmless(text: str) -> str:
    """``text`` with a blank behind the bracket that opens each special token.

    Halves of surrogate pairs and NULs, which no server takes, are left out.
    """
    text = text.encode("utf-8", "ignore").decode("utf-8").replace("\x00", "")
    return _MARKUP.sub(lambda match: match.group() + " ", text)
