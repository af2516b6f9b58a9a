"""Accept variants of the arguments of a tool call, and explain invalid ones."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from sightline.storage.errors import InvalidArgumentError, choices, shown
from sightline.tools.shared.argument_types import MAX_NAME_CHARS

#: A call can have very many invalid values, with long names.
_MAX_PROBLEMS = 3
_MAX_PATH_CHARS = 200
_MAX_MESSAGE_CHARS = 500


def reject_unknown_arguments(
    tool: str, arguments: Mapping[str, object], known: Collection[str]
) -> None:
    """Raise InvalidArgumentError if the tool does not have an argument."""
    for name in arguments:
        if name not in known:
            # Comparing a text of megabytes takes seconds.
            close = get_close_matches(name[:MAX_NAME_CHARS], known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            valid = f"valid arguments: {choices(known)}" if known else "it has no arguments"
            raise InvalidArgumentError(f"{tool} has no argument {shown(name)}{hint} ({valid})")


def normalize_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Convert arguments to the types of a published schema if the meaning is clear.

    Models and frameworks send null for what they omit, an empty text for an empty list or object,
    one item for a list of one, and JSON as text. Anything else stays for the validation.
    """
    properties, required = schema.get("properties", {}), schema.get("required", ())
    normalized: dict[str, Any] = {}
    for name, value in arguments.items():
        expected = properties.get(name, {})
        is_empty_text = isinstance(value, str) and not value.strip()
        means_nothing = value is None or (is_empty_text and expected.get("type") != "string")
        if means_nothing and name in properties and name not in required:
            continue
        normalized[name] = _normalize(value, expected)
    return normalized


def _normalize(value: Any, schema: Mapping[str, Any]) -> Any:
    expected = schema.get("type")
    if isinstance(value, str) and expected in ("array", "object"):
        value = _parse_json(value)
    if isinstance(value, str) and "enum" in schema:
        return value.strip().lower() if value.strip().lower() in schema["enum"] else value
    if expected == "array":
        items = schema.get("items", {})
        if not isinstance(value, list) and _is_a(value, items.get("type")):
            value = [value]
        if isinstance(value, list):
            return [_normalize(each, items) for each in value]
    if isinstance(value, dict) and "properties" in schema:
        return normalize_arguments(value, schema)
    return value


def _parse_json(text: str) -> Any:
    """Return the list or object that the text is, or the text itself."""
    try:
        value = json.loads(text) if text.lstrip()[:1] in ("[", "{") else text
    except (ValueError, RecursionError):
        return text
    return value


def _is_a(value: Any, expected: str | None) -> bool:
    """Return whether a value can be the only item of a list; one number is no box."""
    return (expected == "string" and isinstance(value, str)) or (
        expected == "object" and isinstance(value, dict)
    )


def reject_lone_surrogates(arguments: Mapping[str, object]) -> None:
    """Raise InvalidArgumentError for text that is not valid Unicode.

    JSON can contain one half of a surrogate pair, but Postgres and UTF-8 cannot store it.
    """
    for name, value in arguments.items():
        if not _is_valid_unicode(name) or not _is_valid_unicode(value):
            raise InvalidArgumentError(
                f"the argument {shown(name)} contains half of a surrogate pair, which is not a "
                "valid character; send the text as UTF-8"
            )


def _is_valid_unicode(value: object) -> bool:
    if isinstance(value, str):
        try:
            return value.isascii() or bool(value.encode("utf-8"))
        except UnicodeEncodeError:
            return False
    if isinstance(value, Mapping):
        return all(_is_valid_unicode(k) and _is_valid_unicode(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_is_valid_unicode, value))
    return True


def format_validation_error(tool: str, error: ValidationError) -> str:
    """Return one sentence for each of the first invalid arguments."""
    sentences = []
    for detail in error.errors(include_url=False, include_context=False)[:_MAX_PROBLEMS]:
        path = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        value = "" if detail["type"] == "missing" else f" (got {shown(detail['input'])})"
        sentences.append(f"{path[:_MAX_PATH_CHARS]}: {message[:_MAX_MESSAGE_CHARS]}{value}")
    if (more := error.error_count() - _MAX_PROBLEMS) > 0:
        sentences.append(f"and {more:,} more")
    return f"{tool} was called with invalid arguments: " + "; ".join(sentences)
