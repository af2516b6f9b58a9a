"""Turns tokens into text as they come, and stops at stop strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from transformers import PreTrainedTokenizerFast

_UNFINISHED: Final = "\ufffd"


class Writer:
    """The text of one answer. What may yet become a stop string, or half a character, waits."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._tokens: list[int] = []
        self._sent = 0
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that is sure after one more token."""
        self._tokens.append(token)
        text = self._text()
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._send(text[: min(found)])
        return self._send(text[: len(text) - self._uncertain(text)])

    def finish(self) -> str:
        """What was held back, when no more tokens come."""
        if self.stopped:
            return ""
        return self._send(self._text())

    def _text(self) -> str:
        return str(self._tokenizer.decode(self._tokens, skip_special_tokens=True))

    def _send(self, text: str) -> str:
        new = text[self._sent :]
        self._sent = max(self._sent, len(text))
        return new

    def _uncertain(self, text: str) -> int:
        """How many characters at the end may still change or turn out to begin a stop string."""
        held = len(text) - len(text.rstrip(_UNFINISHED))
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    held = max(held, size)
                    break
        return held
