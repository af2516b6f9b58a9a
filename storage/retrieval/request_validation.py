"""What a request may ask for, checked once for both searches."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from datetime import datetime

from PIL import Image

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.retrieval import cursors
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from sightline.storage.text.normalization import storable
from sightline.storage.text.text_query import MAX_QUERY_CHARS

DEPTH = 100
"""How many results each branch brings, and so how far one can page: who wants more narrows."""
MAX_EXAMPLES = 16

# What does not change which results there are, or is not the caller's.
_NOT_IN_DIGEST = {"limit", "cursor"}
_NOT_LOGGED = {"cursor", "principal", "tool", "query"}

Request = ImageRequest | PassageRequest


def checked_query(query: str) -> str:
    """The query as it can be stored, without outer space. Raises where it is far too long."""
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidArgumentError(
            f"the query has {len(query):,} characters; use at most {MAX_QUERY_CHARS:,}"
        )
    return storable(query).strip()


def nothing_asked(what: str) -> InvalidArgumentError:
    """For a request that holds nothing to look for."""
    return InvalidArgumentError(f"there is nothing to look for; give {what}")


def check_limit(limit: int) -> None:
    """Raises InvalidArgumentError unless the limit is 1 to `DEPTH`."""
    if not 1 <= limit <= DEPTH:
        raise InvalidArgumentError(f"limit is {shown(limit)}; use 1 to {DEPTH}")


def check_share(name: str, value: float | None) -> None:
    """Raises InvalidArgumentError unless the value is 0 to 1 (or not given)."""
    if value is not None and not 0 <= value <= 1:
        raise InvalidArgumentError(f"{name} is {shown(value)}; use 0 to 1")


def digest(request: Request) -> bytes:
    """What a cursor is bound to: everything that decides the order, and whose request it is."""
    return cursors.query_digest(**_plain(request, _NOT_IN_DIGEST))


def loggable(request: Request) -> dict[str, object]:
    """The arguments as the log keeps them: what was given, pictures by their size."""
    return {
        name: value
        for name, value in _plain(request, _NOT_LOGGED).items()
        if value not in (None, "", [], {}, False)
    }


def collection_names(selection: Selection) -> str | None:
    """The collections that were named, for the log."""
    return None if selection.collections is None else ", ".join(selection.collections)


def _plain(value: object, without: set[str]) -> dict[str, object]:
    return {
        field.name: _json(getattr(value, field.name))
        for field in fields(value)  # type: ignore[arg-type]
        if field.name not in without
    }


def _json(value: object) -> object:
    if isinstance(value, Selection):
        return {k: v for k, v in _plain(value, set()).items() if v is not None}
    if isinstance(value, Image.Image):
        # A digest of a large picture's pixels would cost more than the search. Not `hash`, which is
        # another in each process, so that no cursor would outlive the one that sealed it.
        small = value.resize((8, 8), Image.Resampling.BOX, reducing_gap=1.0)
        digest_ = hashlib.sha256(small.tobytes()).hexdigest()[:16]
        return f"picture {value.width}x{value.height} {digest_}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_json(each) for each in value]
    return value
