"""Incremental detokenizer with stop strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from transformers import PreTrainedTokenizerFast

_INCOMPLETE_CHARACTER: Final = "\ufffd"


class Detokenizer:
    """Converts the tokens of one answer to text.

    Text that may become a stop string, and incomplete characters, are held back.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop_strings: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop_strings = stop_strings
        self._tokens: list[int] = []
        self._emitted = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """Add a token and return the new text that is final."""
        self._tokens.append(token)
        text = self._decode()
        stops = [at for stop in self._stop_strings if (at := text.find(stop)) >= 0]
        if stops:
            self.stopped = True
            return self._emit(text[: min(stops)])
        return self._emit(text[: len(text) - self._uncertain_length(text)])

    def finish(self) -> str:
        """Return the text that was held back, after the last token."""
        return "" if self.stopped else self._emit(self._decode())

    def _decode(self) -> str:
        return str(self._tokenizer.decode(self._tokens, skip_special_tokens=True))

    def _emit(self, text: str) -> str:
        new = text[self._emitted :]
        self._emitted = max(self._emitted, len(text))
        return new

    def _uncertain_length(self, text: str) -> int:
        """Return how many characters at the end may change or begin a stop string."""
        length = len(text) - len(text.rstrip(_INCOMPLETE_CHARACTER))
        for stop in self._stop_strings:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    length = max(length, size)
                    break
        return length
