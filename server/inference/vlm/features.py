"""What a server turned out not to know: fields that it refused are not sent to it again."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

logger = logging.getLogger(__name__)

#: Fields that an answer can do without, and how servers name them when they refuse them. The
#: first that was sent and is named goes; so the more special ones stand first.
_OPTIONAL: Final = {
    "skip_special_tokens": r"skip_special_tokens",
    "structured_outputs": r"structured_outputs|structured outputs|guided_choice",
    "response_format": r"response_format|json_schema|guided|grammar|structured output",
    "top_logprobs": r"top_logprobs",
    "logprobs": r"(?<!top_)logprobs",
    "seed": r"\bseed\b",
    "temperature": r"\btemperature\b",
    "max_tokens": r"\bmax_tokens\b.*\bmax_completion_tokens\b",
}
_PATTERNS: Final = {
    name: re.compile(pattern, re.IGNORECASE | re.DOTALL) for name, pattern in _OPTIONAL.items()
}


class Features:
    """Remembers for one endpoint."""

    def __init__(self) -> None:
        self._refused: set[str] = set()

    @property
    def refused(self) -> frozenset[str]:
        """Fields that are no longer sent."""
        return frozenset(self._refused)

    def accepted(self, body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """``body`` without the refused fields."""
        kept = {name: value for name, value in body.items() if name not in self._refused}
        if "max_tokens" in self._refused and "max_tokens" in body:
            # Newer servers know the bound by its newer name only.
            kept["max_completion_tokens"] = body["max_tokens"]
        if "logprobs" in self._refused:
            kept.pop("top_logprobs", None)
        return kept

    def learn(self, sent: Mapping[str, JsonValue], message: str) -> bool:
        """Whether a refusal names an optional field that was sent; it is then remembered."""
        for name, pattern in _PATTERNS.items():
            if name in sent and pattern.search(message[:2000]):
                self._refused.add(name)
                logger.warning("the model's server does not take %s; it is no longer sent", name)
                return True
        return False
