"""Holds the output to a JSON schema, a choice or an expression, with llguidance.

JSON is written without free white space: a small model would fill its answer with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from sightline.server.models.model_server.builtin.chat_request import ChatRequest
from sightline.server.models.model_server.builtin.openai_errors import Refusal
from sightline.server.models.model_server.builtin.request_limits import Limits

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_COMPACT: Final[JsonCompileOptions] = {
    "whitespace_flexible": False,
    "item_separator": ",",
    "key_separator": ":",
}
_PARAM: Final = "response_format"


class Guide:
    """What may come next in one answer."""

    def __init__(self, tokens: LLTokenizer, grammar: str) -> None:
        self._matcher = LLMatcher(tokens, grammar)
        self._check()

    def allowed(self) -> Tensor:
        """Which tokens may come next: (vocabulary,) bool."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, bitorder="little").astype(bool))

    def take(self, token: int) -> bool:
        """Note the token that was chosen; whether the answer is now complete."""
        self._matcher.consume_token(token)
        self._check()
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise Refusal(f"the schema cannot be followed: {self._matcher.get_error()}", _PARAM)


def token_table(tokenizer: PreTrainedTokenizerFast, width: int) -> LLTokenizer:
    """Llguidance's view of a tokenizer whose model has ``width`` logits."""
    return llguidance.hf.from_tokenizer(tokenizer, n_vocab=width)


def grammar_of(request: ChatRequest, limits: Limits) -> str | None:
    """The grammar that a request asks for; ``None`` for free text."""
    asked = request.structured_outputs
    if asked is not None:
        if asked.choice is not None:
            if not asked.choice or not all(asked.choice):
                raise Refusal(
                    "choice must list at least one text, none empty", "structured_outputs"
                )
            options = " | ".join(json.dumps(text, ensure_ascii=False) for text in asked.choice)
            return _sized(LLMatcher.grammar_from_lark(f"start: {options}"), limits)
        if asked.regex is not None:
            return _sized(LLMatcher.grammar_from_regex(asked.regex), limits)
        if asked.json_ is not None:
            return _from_schema(asked.json_, limits)
    form = request.response_format
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return _from_schema({"type": "object"}, limits)
    if form.json_schema is None:
        raise Refusal("response_format of type json_schema needs json_schema.schema", _PARAM)
    return _from_schema(form.json_schema.schema_, limits)


def _from_schema(schema: object, limits: Limits) -> str:
    text = json.dumps(schema)
    if len(text) > limits.schema_chars:
        raise Refusal(f"a schema may have {limits.schema_chars:,} characters", _PARAM)
    try:
        return LLMatcher.grammar_from_json_schema(text, overrides=_COMPACT)
    except ValueError as error:
        raise Refusal(f"the schema is not one: {error}", _PARAM) from error


def _sized(grammar: str, limits: Limits) -> str:
    if len(grammar) > limits.schema_chars:
        raise Refusal(
            f"a grammar may have {limits.schema_chars:,} characters", "structured_outputs"
        )
    return grammar
