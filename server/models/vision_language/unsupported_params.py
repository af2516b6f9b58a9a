"""What a server turned out not to know: fields that it does not take are not sent to it again.

A field that it takes, and could not follow this once (a schema that it cannot compile), is left out
of this question alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Mapping
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
#: Says of a field itself, by its name, that the server has no use for it.
_UNKNOWN: Final = re.compile(
    r"unknown|unrecogni[sz]ed|unsupported|not supported|does not support|not permitted|unexpected"
    r"|extra (?:inputs|fields)|additional propert",
    re.IGNORECASE,
)
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

    def accepted(
        self, body: Mapping[str, JsonValue], without: Container[str] = ()
    ) -> dict[str, JsonValue]:
        """``body`` without the refused fields and those in ``without``."""
        kept = {
            name: value
            for name, value in body.items()
            if name not in self._refused and name not in without
        }
        if "max_tokens" in body and "max_tokens" not in kept:
            # Newer servers know the bound by its newer name only.
            kept["max_completion_tokens"] = body["max_tokens"]
        if "logprobs" not in kept:
            kept.pop("top_logprobs", None)
        return kept

    def learn(self, sent: Mapping[str, JsonValue], message: str) -> str | None:
        """The optional field that was sent and that a refusal names, to be left out.

        It is remembered where the server has no use for it at all.
        """
        for name, pattern in _PATTERNS.items():
            if name not in sent or not pattern.search(message[:2000]):
                continue
            if _UNKNOWN.search(message[:2000]) and _named(name, message):
                self._refused.add(name)
                logger.warning("the model's server does not take %s; it is no longer sent", name)
            else:
                logger.warning("the model's server could not follow %s: %s", name, message[:300])
            return name
        return None


def _named(name: str, message: str) -> bool:
    return name in message or (name == "response_format" and "json_schema" in message)
