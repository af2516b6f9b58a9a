"""Remembers request fields that the endpoint does not support and omits them.

If the endpoint supports a field but cannot process one value (such as a schema that it cannot
compile), the field is omitted from that request only.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Mapping
from typing import Final

from pydantic import JsonValue

logger = logging.getLogger(__name__)

#: Optional fields, and how servers name them in errors. The first match is omitted, so specific
#: fields come first.
_PATTERNS: Final = {
    name: re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for name, pattern in {
        "cache_salt": r"cache_salt",
        "skip_special_tokens": r"skip_special_tokens",
        "structured_outputs": r"structured_outputs|structured outputs|guided_choice",
        "response_format": r"response_format|json_schema|guided|grammar|structured output",
        "top_logprobs": r"top_logprobs",
        "logprobs": r"(?<!top_)logprobs",
        "seed": r"\bseed\b",
        "temperature": r"\btemperature\b",
        "max_tokens": r"\bmax_tokens\b.*\bmax_completion_tokens\b",
    }.items()
}
#: Error texts that reject the field itself and not its value.
_UNSUPPORTED: Final = re.compile(
    r"unknown|unrecogni[sz]ed|unsupported|not supported|does not support|not permitted|unexpected"
    r"|extra (?:inputs|fields)|additional propert",
    re.IGNORECASE,
)


class UnsupportedParams:
    """The unsupported fields of one endpoint."""

    def __init__(self) -> None:
        self._unsupported: set[str] = set()

    def remove_from(
        self, body: Mapping[str, JsonValue], also: Container[str] = ()
    ) -> dict[str, JsonValue]:
        """Return ``body`` without the unsupported fields and without those in ``also``."""
        filtered = {
            name: value
            for name, value in body.items()
            if name not in self._unsupported and name not in also
        }
        if "max_tokens" in body and "max_tokens" not in filtered:
            # Newer servers accept only the newer name.
            filtered["max_completion_tokens"] = body["max_tokens"]
        if "logprobs" not in filtered:
            filtered.pop("top_logprobs", None)
        return filtered

    def record_rejection(self, sent: Mapping[str, JsonValue], message: str) -> str | None:
        """Return the optional field that an error message names, or ``None``.

        The field is remembered if the endpoint does not support it at all.
        """
        for name, pattern in _PATTERNS.items():
            if name not in sent or not pattern.search(message[:2000]):
                continue
            named = name in message or (name == "response_format" and "json_schema" in message)
            if named and _UNSUPPORTED.search(message[:2000]):
                self._unsupported.add(name)
                logger.warning("the model server does not support %s; omitting it", name)
            else:
                logger.warning("the model server rejected a value of %s: %s", name, message[:300])
            return name
        return None
