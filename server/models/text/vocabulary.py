"""Tells which texts a tokenizer knows. Imports no torch.

A WordPiece tokenizer reads an emoji or a Thai word as one token, "unknown", and a word of a script
that it did not learn letter by letter. All such texts get nearly the same vector, so each seems to
match the others.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MAX_CHECKED_CHARS = 2_000
_MAX_UNKNOWN_SHARE = 0.5
_MIN_SCRIPT_SHARE = 0.001
"""Share of the tokens with several letters of a script, from which the tokenizer knows it. That of
MiniLM: Latin .9, Cyrillic .0003, other scripts less."""
_MIN_IDEOGRAPHS = 1_000
"""Tokens with one, which is a word. A newspaper has 3,000; MiniLM knows 488."""
_IDEOGRAPHS = "CJK"
#: Tokens of tokenizers that spell what they do not know in bytes: with training, any text.
_BYTES = frozenset({"Ġ", "<0x0A>"})
_ASCII = " ".join(map(chr, range(33, 127)))


Spans = Sequence[tuple[int, tuple[int, int]]]
"""Token ids with the positions of their characters."""


class Vocabulary:
    """The texts that a tokenizer knows.

    Not thread-safe, like the tokenizer.
    """

    def __init__(
        self, tokens: Collection[str], unknown_id: int | None, spans: Callable[[str], Spans] | None
    ) -> None:
        """Use a tokenizer with these tokens.

        Without ``spans``, it is taken to know all texts.
        """
        self._unknown_id = unknown_id
        # Without positions, unknown characters cannot be counted.
        self._spans = spans if _BYTES.isdisjoint(tokens) else None
        self._known_scripts = frozenset() if self._spans is None else _scripts_of(tokens)
        self._knows_ascii = "LATIN" in self._known_scripts and not self._unknown_chars(_ASCII)

    @classmethod
    def from_transformers(cls, tokenizer: Any) -> Self:
        """Use a tokenizer of transformers."""

        def spans(text: str) -> Spans:
            encoding = tokenizer(
                [text],
                add_special_tokens=False,
                split_special_tokens=True,
                return_offsets_mapping=True,
                verbose=False,  # no warning about the length
            )
            return [*zip(encoding["input_ids"][0], encoding["offset_mapping"][0], strict=True)]

        found = spans if tokenizer.is_fast else None
        return cls(tokenizer.get_vocab(), tokenizer.unk_token_id, found)

    @classmethod
    def from_tokenizers(cls, tokenizer: Tokenizer, unknown_id: int | None) -> Self:
        """Use a tokenizer of tokenizers. Special tokens are split as it is configured."""

        def spans(text: str) -> Spans:
            truncation = tokenizer.truncation
            tokenizer.no_truncation()
            encoding = tokenizer.encode(text, add_special_tokens=False)
            if truncation is not None:
                tokenizer.enable_truncation(**truncation)
            return [*zip(encoding.ids, encoding.offsets, strict=True)]

        return cls(tokenizer.get_vocab(), unknown_id, spans)

    def knows(self, text: str) -> bool:
        """Return whether the tokenizer knows most of the characters that are no space."""
        if self._spans is None or (self._knows_ascii and text.isascii()):
            return True
        text = text[:_MAX_CHECKED_CHARS]
        size = len("".join(text.split()))
        return not size or self._unknown_chars(text) < _MAX_UNKNOWN_SHARE * size

    def _unknown_chars(self, text: str) -> int:
        unknown = {
            position
            for token, span in (self._spans(text) if self._spans else ())
            if token == self._unknown_id
            for position in range(*span)
        }
        return len(unknown) + sum(
            position not in unknown and not self._knows_script(char)
            for position, char in enumerate(text)
        )

    def _knows_script(self, char: str) -> bool:
        script = _script(char)
        return script is None or script in self._known_scripts


def _scripts_of(tokens: Collection[str]) -> frozenset[str]:
    """Return the scripts of many tokens with several letters, or with an ideograph."""
    counts: Counter[str] = Counter()
    for token in tokens:
        scripts = [script for char in token if (script := _script(char)) is not None]
        is_word = len(scripts) > 1 or scripts == [_IDEOGRAPHS]
        if is_word and len(set(scripts)) == 1:
            counts[scripts[0]] += 1
    enough = {script: _MIN_SCRIPT_SHARE * len(tokens) for script in counts}
    enough[_IDEOGRAPHS] = _MIN_IDEOGRAPHS
    return frozenset(script for script, count in counts.items() if count >= enough[script])


@cache
def _script(char: str) -> str | None:
    """Return the script of a letter as its Unicode name has it; None for others.

    >>> _script("ж"), _script("é"), _script("7")
    ('CYRILLIC', 'LATIN', None)
    """
    return unicodedata.name(char, "?").partition(" ")[0] if char.isalpha() else None
