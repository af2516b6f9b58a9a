"""Answers that are known already, by the content of the whole request."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping

from pydantic import JsonValue

from sightline.server.models.vision_language.response_parser import Completion


def fingerprint(base_url: str, body: Mapping[str, JsonValue]) -> bytes:
    """SHA-256 of all that decides a greedy answer: server, model, text, pictures and options."""
    text = json.dumps([base_url, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


class Memory:
    """The answers used last; ``entries`` 0 keeps none."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._answers: OrderedDict[bytes, Completion] = OrderedDict()

    def get(self, key: bytes) -> Completion | None:
        """The answer, if it is known; it counts as used."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: Completion) -> None:
        """Remember an answer, and forget what was used longest ago."""
        if self._entries:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            if len(self._answers) > self._entries:
                self._answers.popitem(last=False)
