"""Constrained decoding with llguidance: JSON schema, choice or regex.

JSON has no optional whitespace: a small model would fill its answer with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer

from sightline.server.models.vision_language.builtin.chat_request import ChatRequest, RequestError

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_MAX_SCHEMA_CHARS: Final = 20_000
_COMPACT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ",",
    "key_separator": ":",
}
_RESPONSE_FORMAT: Final = "response_format"
_STRUCTURED_OUTPUTS: Final = "structured_outputs"


class ConstrainedDecoder:
    """The grammar state of one answer."""

    def __init__(self, tokens: LLTokenizer, grammar: str) -> None:
        self._matcher = LLMatcher(tokens, grammar)
        self._check()

    def allowed_tokens(self) -> npt.NDArray[np.bool_]:
        """Return a bool mask of shape (vocabulary,) for the next token."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, bitorder="little").astype(bool)

    def consume(self, token: int) -> bool:
        """Advance by the chosen token and return whether the answer is complete."""
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            message = f"the schema is not supported: {self._matcher.get_error()}"
            raise RequestError(message, _RESPONSE_FORMAT)


def build_grammar(request: ChatRequest) -> str | None:
    """Return the grammar of the requested format, or ``None`` for free text."""
    if (outputs := request.structured_outputs) is not None:
        if outputs.choice is not None:
            if not outputs.choice or not all(outputs.choice):
                message = "choice must list at least one text, none empty"
                raise RequestError(message, _STRUCTURED_OUTPUTS)
            options = " | ".join(json.dumps(text, ensure_ascii=False) for text in outputs.choice)
            return _check_size(LLMatcher.grammar_from_lark(f"start: {options}"))
        if outputs.regex is not None:
            return _check_size(LLMatcher.grammar_from_regex(outputs.regex))
        if outputs.json_ is not None:
            return _grammar_from_schema(outputs.json_)
    response_format = request.response_format
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return _grammar_from_schema({"type": "object"})
    if response_format.json_schema is None:
        message = "response_format of type json_schema needs json_schema.schema"
        raise RequestError(message, _RESPONSE_FORMAT)
    return _grammar_from_schema(response_format.json_schema.schema_)


def _grammar_from_schema(schema: object) -> str:
    text = json.dumps(schema)
    if len(text) > _MAX_SCHEMA_CHARS:
        message = f"a schema may have {_MAX_SCHEMA_CHARS:,} characters"
        raise RequestError(message, _RESPONSE_FORMAT)
    try:
        return LLMatcher.grammar_from_json_schema(text, overrides=_COMPACT)
    except ValueError as error:
        raise RequestError(f"the schema is invalid: {error}", _RESPONSE_FORMAT) from error


def _check_size(grammar: str) -> str:
    if len(grammar) > _MAX_SCHEMA_CHARS:
        message = f"a grammar may have {_MAX_SCHEMA_CHARS:,} characters"
        raise RequestError(message, _STRUCTURED_OUTPUTS)
    return grammar
