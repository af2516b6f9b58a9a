"""Answers of a server, read as the hostile bytes that they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue
from pydantic_core import from_json

from sightline.storage.errors import shown
from sightline.tools.boxes import tolerant_json
from sightline.tools.vlm.vision_language_model import Finish, ModelReplyError, Token, Usage

_MOST_TOKENS = 100_000
_MOST_ALTERNATIVES = 20
_PUNCTUATION = " \t\r\n.,;:!?\"'`*()[]。，！？：；“”"


@dataclass(frozen=True, slots=True)
class Completion:
    """The useful part of a chat completion."""

    text: str
    finish: Finish
    tokens: tuple[Token, ...] | None
    usage: Usage | None


def read_completion(data: bytes) -> Completion:
    """The first answer of a chat completion.

    Raises ModelReplyError for anything that is none. Log-probabilities and counts that make no
    sense are left out: the answer stands without them.
    """
    body = _object(data)
    if "error" in body and not body.get("choices"):
        raise ModelReplyError(f"the model's server failed: {error_message(data)}")
    offered = body.get("choices")
    if not isinstance(offered, list) or not offered or not isinstance(offered[0], dict):
        raise ModelReplyError(f"the model's server sent no answer: {_excerpt(data)}")
    choice = offered[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ModelReplyError(f"the model's server sent no message: {_excerpt(data)}")
    return Completion(
        _text(message.get("content"), data),
        _finish(choice.get("finish_reason")),
        _tokens(choice.get("logprobs")),
        _usage(body.get("usage")),
    )


def read_models(data: bytes) -> list[str]:
    """The names in an answer to ``GET /models``; raises ModelReplyError for anything else."""
    listed = _object(data).get("data")
    if not isinstance(listed, list):
        raise ModelReplyError(f"the model's server sent no list of models: {_excerpt(data)}")
    names = [item.get("id") for item in listed if isinstance(item, dict)]
    return [name for name in names if isinstance(name, str)]


def error_message(data: bytes) -> str:
    """What an error body says, in one line that is safe to show; its start where it is no JSON."""
    try:
        body = from_json(data)
    except ValueError:
        return _excerpt(data)
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        error = error.get("message", error.get("detail", error))
    return shown(" ".join(error.split())) if isinstance(error, str) else shown(error)


def read_data(text: str) -> tuple[JsonValue, bool]:
    """The JSON value in an answer, and whether it took goodwill; (None, False) for none."""
    try:
        value: JsonValue = from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):  # the latter for half a surrogate pair
        found = tolerant_json.documents(text)
        # The largest: a model may say "[1]" before it comes to the point.
        best = max(found, key=lambda document: _size(document.value), default=None)
        return (None, False) if best is None else (_plain(best.value), True)
    return value, False


def read_choice(text: str, choices: Sequence[str]) -> str | None:
    """The one choice that an answer names: alone, or as its first word."""
    said = text.strip(_PUNCTUATION).casefold()
    for choice in choices:
        if said == choice.casefold():
            return choice
    begun = [
        choice
        for choice in choices
        if said.startswith(choice.casefold()) and not _continues(said, len(choice))
    ]
    return begun[0] if len(begun) == 1 else None


def _continues(said: str, length: int) -> bool:
    """Whether a word of letters goes on beyond ``length``: "no" is not in "nothing"."""
    return said[length : length + 1].isascii() and said[length : length + 1].isalnum()


def _object(data: bytes) -> dict[str, JsonValue]:
    try:
        body = from_json(data)
    except ValueError as error:
        raise ModelReplyError(
            f"the model's server sent something that is no JSON ({error}): {_excerpt(data)}"
        ) from error
    if not isinstance(body, dict):
        raise ModelReplyError(f"the model's server sent no object: {_excerpt(data)}")
    return body


def _text(content: JsonValue, data: bytes) -> str:
    if content is None:
        return ""
    if isinstance(content, list):  # some servers answer in parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise ModelReplyError(
            f"the model's server sent an answer that is no text: {_excerpt(data)}"
        )
    # Postgres holds no NUL, and no client shows one.
    return content.replace("\x00", "")


def _finish(reason: JsonValue) -> Finish:
    if reason == "stop":
        return "stop"
    return "length" if reason == "length" else "other"


def _usage(usage: JsonValue) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return None if read is None or written is None else Usage(read, written)


def _count(value: JsonValue) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        return None
    return value


def _tokens(logprobs: JsonValue) -> tuple[Token, ...] | None:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    tokens = []
    for item in content[:_MOST_TOKENS]:
        pair = _pair(item)
        if pair is None or not isinstance(item, dict):
            return None
        top = item.get("top_logprobs")
        others = top[:_MOST_ALTERNATIVES] if isinstance(top, list) else []
        pairs = [other for other in map(_pair, others) if other is not None]
        tokens.append(Token(pair[0], pair[1], tuple(pairs)))
    return tuple(tokens)


def _pair(item: JsonValue) -> tuple[str, float] | None:
    if not isinstance(item, Mapping):
        return None
    text, value = item.get("token"), item.get("logprob")
    if not isinstance(text, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return (text, float(value)) if not math.isnan(value) else None


def _excerpt(data: bytes) -> str:
    return shown(data[:200].decode("utf-8", "replace"))


def _size(value: tolerant_json.Value) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values())) + len(value)
    return 1


def _plain(value: tolerant_json.Value) -> JsonValue:
    """Whole numbers as integers, as a strict reader gives them."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
