"""Cursors: where the next page begins, sealed so that only this query of this caller can go on."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping

from sightline.storage.errors import InvalidArgumentError, shown

_DIGEST_BYTES = 16
_OFFSET_BYTES = 4
_MAX_CHARS = 64


def query_digest(**arguments: object) -> bytes:
    """A digest of everything that decides the order of results, the caller's name included."""
    text = json.dumps(arguments, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).digest()[:_DIGEST_BYTES]


def seal(key: bytes, offset: int, digest: bytes) -> str:
    """The cursor of a page that begins after ``offset`` results."""
    body = offset.to_bytes(_OFFSET_BYTES, "big")
    return base64.urlsafe_b64encode(body + _seal(key, body, digest)).decode("ascii").rstrip("=")


def unseal(key: bytes, cursor: str, digest: bytes) -> int:
    """The offset of a cursor. Raises InvalidArgumentError unless it was made for this query."""
    try:
        if len(cursor) > _MAX_CHARS:
            raise ValueError(cursor)
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    body, seal_ = raw[:_OFFSET_BYTES], raw[_OFFSET_BYTES:]
    if not hmac.compare_digest(seal_, _seal(key, body, digest)):
        raise InvalidArgumentError(
            f"the cursor {shown(cursor)} was not made for this query; repeat the arguments that "
            "returned it, or leave it out to start again"
        )
    return int.from_bytes(body, "big")


def _seal(key: bytes, body: bytes, digest: bytes) -> bytes:
    return hmac.new(key, b"cursor" + body + digest, hashlib.sha256).digest()[:_DIGEST_BYTES]


def of_mapping(value: Mapping[str, object] | None) -> str:
    """A filter in one spelling, for `query_digest`."""
    return json.dumps(value, sort_keys=True, default=str)
