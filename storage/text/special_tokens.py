"""Break up special tokens and role names of any model family in untrusted text.

Servers interpret a literal ``<image>`` in a user's text and then miscount the images;
``<|im_start|>`` would start a message with another role. No list names the tokens of all families,
so patterns find how they begin, whether or not they end: half a token is broken up too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from sightline.storage.text.hidden_characters import remove_hidden
from sightline.storage.unicode_forms import normalize_form

#: A match is followed by a space afterwards, which no special token has at that place.
_TOKEN_START: Final = re.compile(
    "|".join(
        (
            # <image> </s> <|im_start|> <｜User｜> <<SYS>> <0x0A>, and >>TITLE<< of Falcon
            r"<(?!\s)",
            # [INST] [/INST] [IMG] [gMASK] [|user|] [e~[, but not [1], [0.5, [-1], ["a"], [] or [[
            r"\[(?![\s\d\[\]\"'“({.,+*^-]|$)",
            # ]~b] ]~!b[ of MiniMax
            r"\](?=[~!])",
            # |ENDOFTEXT| of Fuyu
            r"\|(?=[^\W\da-z]{3,41}\|)",
            # ### Human, ### Instruction
            "##(?=#)",
            # USER: and ASSISTANT: of LLaVA 1, Human: and AI: of others. Also inside a word, because
            # a JSON string has the letter n there for a line break.
            r"(?:(?i:system|user|assistant|human|developer)|AI)(?=:)",
        )
    )
)


def escape_special_tokens(text: str) -> str:
    """Insert a space where a special token or role name begins.

    Hidden characters are removed first: a zero-width space would hide a token from the patterns,
    but not from a tokenizer that removes it.
    """
    text = remove_hidden(text)
    if text.isascii():
        return _TOKEN_START.sub(lambda match: match.group() + " ", text)
    # Some tokenizers apply NFKC, or remove accents, before they look for special tokens.
    folded = [_fold(char) for char in text]
    origins = [index for index, chars in enumerate(folded) for _ in chars]
    origins.append(len(text))
    parts, start = [], 0
    for match in _TOKEN_START.finditer("".join(folded)):
        end = origins[match.end() - 1] + 1
        parts.append(text[start:end])
        start = end
    return " ".join([*parts, text[start:]])


@lru_cache(maxsize=4096)
def _fold(char: str) -> str:
    """Return the compatibility form of a character without accents; may be empty."""
    decomposed = normalize_form("NFD", normalize_form("NFKC", char))
    return "".join(each for each in decomposed if not unicodedata.combining(each))


def escape_tokens(text: str, tokens: Iterable[str]) -> str:
    """Insert a space after the first character of each of ``tokens`` in the text."""
    for token in tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
