"""Accept variants of the arguments of a tool call, and explain invalid ones."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from sightline.storage.errors import InvalidArgumentError, choices, shown
from sightline.tools.shared.argument_types import MAX_NAME_CHARS

#: A call can have very many invalid values, with long names.
_MAX_PROBLEMS = 3
_MAX_PATH_CHARS = 200
_MAX_MESSAGE_CHARS = 500
#: Values of all JSON texts of a call. The limit of the HTTP body does not count escaped ones.
MAX_TEXT_VALUES: Final = 10_000
_JSON_MARKS: Final = (",", "[", "{")
#: Levels of lists and objects in an argument. Validation and messages recurse into them.
MAX_DEPTH: Final = 64
#: The longest text for a value that is no text, such as a number.
_MAX_VALUE_CHARS: Final = 200
_TYPE_NAMES: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "an object",
}


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
    one item for a list of one and the reverse, JSON or numbers as text, a box for an object with a
    box, and an option in the plural or in capitals. Anything else stays for the validation.

    Raises InvalidArgumentError for texts that take long to parse.
    """
    normalized = _normalize_object(arguments, schema, _JsonTexts())
    for name, value in normalized.items():
        expected = schema.get("properties", {}).get(name, {})
        if isinstance(value, str) and len(value) > _MAX_VALUE_CHARS:
            # The SDK parses as JSON what is text for another type.
            _reject_long_text(name, value, expected)
    return normalized


def _reject_long_text(name: str, text: str, expected: Mapping[str, Any]) -> None:
    valid = choices(expected["enum"]) if "enum" in expected else None
    valid = valid or _TYPE_NAMES.get(expected.get("type", ""))
    if valid is not None:
        raise InvalidArgumentError(f"{name} is the text {shown(text)}. Send {valid}.")


class _JsonTexts:
    """Parses the JSON texts of one call, as long as they have few values."""

    def __init__(self) -> None:
        self._left = MAX_TEXT_VALUES

    def parse(self, name: str, text: str) -> Any:
        """Return the list or object that the text is, or the text itself.

        Raises InvalidArgumentError if the texts of the call have too many values.
        """
        if text.lstrip()[:1] not in ("[", "{"):
            return text
        self._left -= sum(map(text.count, _JSON_MARKS))
        if self._left < 0:
            raise InvalidArgumentError(
                f"The JSON text of {name} has too many values: {shown(text)}. Texts of a call may "
                f"have {MAX_TEXT_VALUES:,}. Send lists and objects as JSON, not as text."
            )
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text


def _normalize_object(
    arguments: Mapping[str, Any], schema: Mapping[str, Any], texts: _JsonTexts
) -> dict[str, Any]:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    normalized: dict[str, Any] = {}
    for name, value in arguments.items():
        expected = properties.get(name, {})
        is_empty_text = isinstance(value, str) and not value.strip()
        means_nothing = value is None or (is_empty_text and expected.get("type") != "string")
        if means_nothing and name in properties and name not in required:
            continue
        normalized[name] = _normalize(name, value, expected, texts)
    return normalized


def _normalize(name: str, value: Any, schema: Mapping[str, Any], texts: _JsonTexts) -> Any:
    match schema.get("type"):
        case "array":
            return _normalize_list(name, value, schema.get("items", {}), texts)
        case "object":
            if isinstance(value, str):
                value = texts.parse(name, value)
            box = _box_property(schema)
            if box is not None and _is_numbers(value):
                value = {box: value}
            if isinstance(value, dict) and "properties" in schema:
                return _normalize_object(value, schema, texts)
        case "string":
            if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
                (value,) = value
            if isinstance(value, str) and "enum" in schema:
                return _option(value, schema["enum"])
    return value


def _normalize_list(name: str, value: Any, items: Mapping[str, Any], texts: _JsonTexts) -> Any:
    has_numbers = items.get("type") == "number" or _box_property(items) is not None
    if isinstance(value, str):
        value = texts.parse(name, value)
        if isinstance(value, str) and has_numbers:
            value = _parse_numbers(value)
    is_one_box = items.get("type") != "number" and has_numbers and _is_numbers(value)
    if is_one_box or (not isinstance(value, list) and _is_a(value, items.get("type"))):
        value = [value]
    if isinstance(value, list):
        return [_normalize(name, each, items, texts) for each in value]
    return value


def _box_property(schema: Mapping[str, Any]) -> str | None:
    """Return the only required property of an object if it is a list of numbers."""
    required = schema.get("required", ())
    if len(required) != 1:
        return None
    expected = schema.get("properties", {}).get(required[0], {})
    is_box = expected.get("type") == "array" and expected["items"].get("type") == "number"
    return str(required[0]) if is_box else None


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(n) in (int, float) for n in value)


def _parse_numbers(text: str) -> Any:
    """Return the numbers of a text such as "0.1, 0.2", or the text itself."""
    try:
        numbers = text[:_MAX_VALUE_CHARS].strip("()[] ").replace(",", " ").split()
        return [float(each) for each in numbers] if len(text) <= _MAX_VALUE_CHARS else text
    except ValueError:
        return text


def _is_a(value: Any, expected: str | None) -> bool:
    """Return whether a value can be the only item of a list; one number is no box."""
    return (expected == "string" and isinstance(value, str)) or (
        expected == "object" and isinstance(value, dict)
    )


def _option(text: str, options: Sequence[str]) -> str:
    """Return the option that the text is but for case and plural, or the text."""
    word = re.sub(r"[\s-]+", "_", text[:_MAX_VALUE_CHARS].strip().lower())
    if word in options:
        return word
    found = [each for each in options if each in _plurals(word) or word in _plurals(each)]
    return found[0] if len(found) == 1 else text


def _plurals(word: str) -> tuple[str, str]:
    return f"{word}s", f"{word}es"


def reject_bad_values(arguments: Mapping[str, object]) -> None:
    """Raise InvalidArgumentError for invalid Unicode and deep nesting.

    JSON can contain one half of a surrogate pair, but Postgres and UTF-8 cannot store it.
    """
    for name, value in arguments.items():
        level: list[object] = [name, value]
        for _ in range(MAX_DEPTH + 1):
            if not all(map(_is_valid_unicode, level)):
                raise InvalidArgumentError(
                    f"the argument {shown(name)} contains half of a surrogate pair, which is not a "
                    "valid character; send the text as UTF-8"
                )
            level = list(_children(level))
        if level:
            raise InvalidArgumentError(
                f"the argument {shown(name)} is nested more than {MAX_DEPTH} levels deep"
            )


def _is_valid_unicode(value: object) -> bool:
    if not isinstance(value, str) or value.isascii():
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _children(values: Iterable[object]) -> Iterator[object]:
    for value in values:
        if isinstance(value, Mapping):
            yield from value
            yield from value.values()
        elif isinstance(value, list):
            yield from value


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
