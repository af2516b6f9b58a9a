"""Parses and validates responses of the endpoint, which are untrusted input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue
from pydantic_core import from_json

from sightline.server.models.vision_language.reply_text import (
    AnswerText,
    find_answer,
    is_answer,
)
from sightline.storage.errors import shown
from sightline.tools.vlm.vision_language_model import Finish, ModelReplyError, Token, Usage

_MAX_TOKENS = 100_000
_MAX_ALTERNATIVES = 20


@dataclass(frozen=True, slots=True)
class Completion:
    """The used fields of a chat completion. ``tokens`` are those of the whole text."""

    answer: AnswerText
    finish: Finish
    tokens: tuple[Token, ...] | None
    usage: Usage | None

    @property
    def text(self) -> str:
        """Return the answer without draft and marks."""
        return self.answer.text

    @property
    def is_unfinished(self) -> bool:
        """Return whether the model used its reply or all tokens for a draft."""
        return not self.text and (self.answer.has_draft or self.finish == "length")

    def tokens_from(self, offset: int) -> tuple[Token, ...] | None:
        """Return the tokens from a place in the text on; None if they cannot be found.

        A server may give the tokens of a draft that it has removed from the text.
        """
        if self.tokens is None:
            return None
        written = "".join(token.text for token in self.tokens)
        start = written.rfind(self.answer.content)
        if start < 0 or not self.answer.content:
            return None if self.answer.has_draft else self.tokens
        start += offset
        end = 0
        for number, token in enumerate(self.tokens):
            end += len(token.text)
            if end > start:
                return self.tokens[number:]
        return ()


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
    finish = _parse_finish(choice.get("finish_reason"))
    return Completion(
        _parse_answer(message, finish, data),
        finish,
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


def _parse_object(data: bytes) -> dict[str, JsonValue]:
    try:
        body = from_json(data)
    except ValueError as error:
        raise _invalid("no JSON", data) from error
    if not isinstance(body, dict):
        raise _invalid("no object", data)
    return body


def _parse_answer(message: Mapping[str, JsonValue], finish: Finish, data: bytes) -> AnswerText:
    """Return the answer; a draft may be in the text or in a field of its own."""
    answer = find_answer(_parse_text(message.get("content"), data))
    drafts = (message.get(name) for name in ("reasoning_content", "reasoning"))
    draft = next((each for each in drafts if isinstance(each, str) and each.strip()), None)
    if draft is None:
        return answer
    if not answer.text.strip() and finish == "stop":
        moved = find_answer(draft.replace("\x00", ""))
        if moved.has_draft or is_answer(moved.content):
            return moved
    return replace(answer, has_draft=True)


def _parse_text(content: JsonValue, data: bytes) -> str:
    if content is None:
        return ""
    if isinstance(content, list):  # some servers answer in parts
        parts = [
            part.get("text")
            for part in content
            if isinstance(part, dict) and part.get("type") not in ("thinking", "reasoning")
        ]
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
