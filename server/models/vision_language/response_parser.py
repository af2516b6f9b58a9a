"""Parses and validates responses of the endpoint, which are untrusted input."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import from_json

from sightline.storage.errors import shown
from sightline.tools.boxes import tolerant_json
from sightline.tools.vlm.vision_language_model import Finish, ModelReplyError, Token, Usage

_MAX_TOKENS = 100_000
_MAX_ALTERNATIVES = 20
_WORD_CHARACTER = re.compile(r"[0-9A-Za-z]")
_PUNCTUATION = " \t\r\n.,;:!?\"'`*()[]。，！？：；“”"


@dataclass(frozen=True, slots=True)
class Completion:
    """The used fields of a chat completion."""

    text: str
    finish: Finish
    tokens: tuple[Token, ...] | None
    usage: Usage | None


def parse_completion(data: bytes) -> Completion:
    """Parse the first choice of a chat completion.

    Raises ModelReplyError if there is none. Invalid log-probabilities and token counts are dropped.
    """
    body = _parse_object(data)
    if "error" in body and not body.get("choices"):
        raise ModelReplyError(
            "The vision-language model failed.", details=parse_error_message(data)
        )
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _invalid("no answer", data)
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _invalid("no message", data)
    return Completion(
        _parse_text(message.get("content"), data),
        _parse_finish(choice.get("finish_reason")),
        _parse_tokens(choice.get("logprobs")),
        _parse_usage(body.get("usage")),
    )


def parse_models(data: bytes) -> list[str]:
    """Return the model names of a ``GET /models`` response. Raises ModelReplyError."""
    models = _parse_object(data).get("data")
    if not isinstance(models, list):
        raise _invalid("no list of models", data)
    names = [item.get("id") for item in models if isinstance(item, dict)]
    return [name for name in names if isinstance(name, str)]


def parse_error_message(data: bytes) -> str:
    """Return the message of an error body in one safe line, or the start of the body."""
    try:
        body = from_json(data)
    except ValueError:
        return _excerpt(data)
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message", error.get("detail", error))
    return shown(" ".join(error.split())) if isinstance(error, str) else shown(error)


def parse_answer_json(text: str) -> tuple[JsonValue, bool]:
    """Return the JSON value of an answer and whether it was repaired."""
    try:
        value: JsonValue = from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):  # TypeError: half a surrogate pair
        documents = tolerant_json.documents(text)
        # Choose the largest: a model may write "[1]" before the actual answer.
        best = max(documents, key=lambda document: _size(document.value), default=None)
        return (None, False) if best is None else (_floats_to_ints(best.value), True)
    return value, False


def parse_choice(text: str, choices: Sequence[str]) -> str | None:
    """Return the one choice that is the whole answer or its first word, else ``None``."""
    answer = text.strip(_PUNCTUATION).casefold()
    # A letter or digit after the choice continues the word: "no" is not the answer in "nothing".
    matches = [choice for choice in choices if answer == choice.casefold()][:1] or [
        choice
        for choice in choices
        if answer.startswith(choice.casefold()) and not _WORD_CHARACTER.match(answer, len(choice))
    ]
    return matches[0] if len(matches) == 1 else None


def _parse_object(data: bytes) -> dict[str, JsonValue]:
    try:
        body = from_json(data)
    except ValueError as error:
        raise _invalid("no JSON", data) from error
    if not isinstance(body, dict):
        raise _invalid("no object", data)
    return body


def _parse_text(content: JsonValue, data: bytes) -> str:
    if content is None:
        return ""
    if isinstance(content, list):  # some servers answer in parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise _invalid("no text", data)
    # Postgres text cannot contain NUL.
    return content.replace("\x00", "")


def _parse_finish(reason: JsonValue) -> Finish:
    if reason == "stop":
        return "stop"
    return "length" if reason == "length" else "other"


def _parse_usage(usage: JsonValue) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt = _parse_count(usage.get("prompt_tokens"))
    answer = _parse_count(usage.get("completion_tokens"))
    return None if prompt is None or answer is None else Usage(prompt, answer)


def _parse_count(value: JsonValue) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        return None
    return value


def _parse_tokens(logprobs: JsonValue) -> tuple[Token, ...] | None:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    tokens = []
    for item in content[:_MAX_TOKENS]:
        pair = _parse_logprob(item)
        if pair is None or not isinstance(item, dict):
            return None
        top = item.get("top_logprobs")
        alternatives = top[:_MAX_ALTERNATIVES] if isinstance(top, list) else []
        pairs = [other for other in map(_parse_logprob, alternatives) if other is not None]
        tokens.append(Token(pair[0], pair[1], tuple(pairs)))
    return tuple(tokens)


def _parse_logprob(item: JsonValue) -> tuple[str, float] | None:
    if not isinstance(item, Mapping):
        return None
    text, value = item.get("token"), item.get("logprob")
    if not isinstance(text, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return (text, float(value)) if not math.isnan(value) else None


def _invalid(missing: str, data: bytes) -> ModelReplyError:
    return ModelReplyError(f"The vision-language model sent {missing}.", details=_excerpt(data))


def _excerpt(data: bytes) -> str:
    return shown(data[:200].decode("utf-8", "replace"))


def _size(value: tolerant_json.Value) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values())) + len(value)
    return 1


def _floats_to_ints(value: tolerant_json.Value) -> JsonValue:
    """Convert whole numbers to integers, as a strict JSON parser returns them."""
    if isinstance(value, list):
        return [_floats_to_ints(item) for item in value]
    if isinstance(value, dict):
        return {key: _floats_to_ints(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
