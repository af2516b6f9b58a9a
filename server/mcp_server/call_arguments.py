"""Checks of the arguments of a tool call, and messages about invalid ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

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
