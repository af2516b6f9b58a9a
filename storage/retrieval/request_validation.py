"""Validate requests, encode cursors, and describe requests for the log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import fields
from datetime import datetime

from PIL import Image

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.retrieval.filters import filter_language
from sightline.storage.retrieval.search_types import (
    MAX_RESULTS,
    ImageRequest,
    PassageRequest,
    Selection,
)
from sightline.storage.text.normalization import storable
from sightline.storage.text.query_analysis import MAX_QUERY_CHARS

MAX_EXAMPLES = 16

_DIGEST_BYTES = 16
_OFFSET_BYTES = 4
_MAX_CURSOR_CHARS = 64
_NOT_IN_DIGEST = {"limit", "cursor"}
_NOT_LOGGED = {"cursor", "principal", "tool", "query"}

Request = ImageRequest | PassageRequest


def validate_request(request: Request) -> str:
    """Return the query without outer space; raise InvalidArgumentError for bad values."""
    if len(request.query) > MAX_QUERY_CHARS:
        raise InvalidArgumentError(
            f"The query has {len(request.query):,} characters. Use at most {MAX_QUERY_CHARS:,}."
        )
    if not 1 <= request.limit <= MAX_RESULTS:
        raise InvalidArgumentError(f"limit is {shown(request.limit)}. Use 1 to {MAX_RESULTS}.")
    # Before the digest and the log, whose cost depends on the size of the filters.
    filter_language.parse(request.selection.filters)
    query = storable(request.query).strip()
    if not isinstance(request, ImageRequest):
        return query
    for name, value in (("visual_weight", request.visual_weight), ("diversity", request.diversity)):
        if value is not None and not 0 <= value <= 1:
            raise InvalidArgumentError(f"{name} is {shown(value)}. Use a number from 0 to 1.")
    for name, examples in (("like", request.like), ("unlike", request.unlike)):
        if len(examples) > MAX_EXAMPLES:
            raise InvalidArgumentError(
                f"{name} has {len(examples)} examples. Use at most {MAX_EXAMPLES}."
            )
    if not query and request.visual_weight == 0:
        raise InvalidArgumentError("visual_weight 0 searches text only. Give a query.")
    if request.unlike and is_listing(request, query):
        raise InvalidArgumentError(
            "'unlike' only moves a search away from examples. Give a query, an image, or examples "
            "in 'like' as well."
        )
    return query


def is_listing(request: Request, query: str) -> bool:
    """Return whether the selection is listed, because there is nothing to compare."""
    if isinstance(request, ImageRequest) and (request.image is not None or request.like):
        return False
    return not query


def request_digest(request: Request) -> bytes:
    """Return a digest of everything that decides the order, including the principal."""
    values = _to_json_object(request, _NOT_IN_DIGEST)
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES]


def loggable_arguments(request: Request) -> dict[str, object]:
    """Return the non-empty arguments as JSON values, with images as size and digest."""
    return {
        name: value
        for name, value in _to_json_object(request, _NOT_LOGGED).items()
        if value not in (None, "", [], {}, False)
    }


def encode_cursor(key: bytes, offset: int, digest: bytes) -> str:
    """Return a signed cursor of the page that starts at ``offset``."""
    body = offset.to_bytes(_OFFSET_BYTES, "big")
    return base64.urlsafe_b64encode(body + _sign(key, body, digest)).decode("ascii").rstrip("=")


def decode_cursor(key: bytes, cursor: str, digest: bytes) -> int:
    """Return the offset; raise InvalidArgumentError if the signature does not match."""
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        too_long = len(cursor) > _MAX_CURSOR_CHARS
        raw = b"" if too_long else base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    body, signature = raw[:_OFFSET_BYTES], raw[_OFFSET_BYTES:]
    if not hmac.compare_digest(signature, _sign(key, body, digest)):
        raise InvalidArgumentError(
            f"Cursor {shown(cursor)} was not made for this query. Repeat the arguments of the call "
            "that returned it, or omit the cursor to start again."
        )
    return int.from_bytes(body, "big")


def _sign(key: bytes, body: bytes, digest: bytes) -> bytes:
    return hmac.new(key, b"cursor" + body + digest, hashlib.sha256).digest()[:_DIGEST_BYTES]


def _to_json_object(value: object, exclude: set[str]) -> dict[str, object]:
    return {
        field.name: _to_json(getattr(value, field.name))
        for field in fields(value)  # type: ignore[arg-type]
        if field.name not in exclude
    }


def _to_json(value: object) -> object:
    if isinstance(value, Selection):
        return {k: v for k, v in _to_json_object(value, set()).items() if v is not None}
    if isinstance(value, Image.Image):
        # Hash a small copy: hashing all pixels of a large image costs more than the search.
        small = value.resize((8, 8), Image.Resampling.BOX, reducing_gap=1.0)
        digest = hashlib.sha256(small.tobytes()).hexdigest()[:16]
        return f"image {value.width}x{value.height} {digest}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_to_json(each) for each in value]
    return value
