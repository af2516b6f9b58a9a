"""What no argument of a tool may hold, whichever tool it is."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.storage.errors import InvalidArgumentError, shown


def refuse_half_characters(arguments: Mapping[str, object]) -> None:
    """Raise InvalidArgumentError for text that is no Unicode: half of a surrogate pair.

    JSON can write one and neither Postgres nor the answer can hold it; a shell makes them of bytes
    that are not UTF-8.
    """
    for name, value in arguments.items():
        if not _whole(name) or not _whole(value):
            raise InvalidArgumentError(
                f"the argument {shown(name)} holds half of a surrogate pair, which is no character;"
                " send the text as UTF-8"
            )


def _whole(value: object) -> bool:
    if isinstance(value, str):
        try:
            return value.isascii() or bool(value.encode("utf-8"))
        except UnicodeEncodeError:
            return False
    if isinstance(value, Mapping):
        return all(_whole(key) and _whole(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_whole, value))
    return True
