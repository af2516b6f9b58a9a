"""Signed links to a video or sound, for players that cannot send a token.

A link is for one asset, one caller and one state of the file, and ends after some minutes. It
allows nothing else. `MediaLinkUsers` makes its request one of that caller, with the scope ``read``,
so that the binding, limits and audit of the caller apply.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthCredentials
from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.storage.blobs import FileState
from sightline.tools.shared.image_delivery import ASSETS_PATH

LINK_SECONDS: Final = 600
#: Parameter of the route ``media``.
LINK_PARAMETER: Final = "link"
_MEDIA_PATH = re.compile(rf"{ASSETS_PATH}/([^/]+)/media")
_MAX_CHARS: Final = 4_096
#: End in milliseconds, digest of the file state, whether there is a caller, whose name follows.
_HEAD = struct.Struct(">Q16s?")
_SIGNATURE_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class MediaLink:
    """What a valid link says. ``caller`` is None on a server without tokens."""

    caller: str | None
    state_digest: bytes


@dataclass(frozen=True, slots=True)
class MediaLinks:
    """Makes and reads links with a signing key."""

    key: bytes
    #: A date, because another process with the same key may read the link.
    clock: Callable[[], float] = time.time

    def create(self, asset: str, caller: str | None, state: FileState) -> str:
        """Return the value of the parameter ``link``."""
        expires = int(1000 * (self.clock() + LINK_SECONDS))
        payload = _HEAD.pack(expires, state_digest(state), caller is not None)
        payload += (caller or "").encode()
        return base64.urlsafe_b64encode(payload + self._sign(asset, payload)).decode().rstrip("=")

    def read(self, asset: str, link: str) -> MediaLink | None:
        """Return what a link says, None if it has expired or is not ours for this asset."""
        try:
            raw = b"" if len(link) > _MAX_CHARS else base64.b64decode(_padded(link), b"-_", True)
        except ValueError:
            return None
        payload, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(asset, payload)):
            return None
        expires, digest, has_caller = _HEAD.unpack_from(payload)
        if expires < 1000 * self.clock():
            return None
        return MediaLink(payload[_HEAD.size :].decode() if has_caller else None, digest)

    def _sign(self, asset: str, payload: bytes) -> bytes:
        # The digest has a fixed length, so that no other asset and payload give the same bytes.
        about = hashlib.sha256(asset.encode()).digest()
        return hmac.digest(self.key, b"media link" + about + payload, "sha256")


class MediaLinkUsers:
    """ASGI middleware that makes a request with a valid link one of its caller.

    It must run between the authentication and everything that needs the principal.
    """

    def __init__(self, app: ASGIApp, *, links: MediaLinks) -> None:
        self._app = app
        self._links = links

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (caller := self._caller(scope)) is not None:
            user = AuthenticatedUser(AccessToken(token="", client_id=caller, scopes=["read"]))
            scope = {**scope, "user": user, "auth": AuthCredentials(user.scopes)}
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> str | None:
        if scope["type"] != "http" or scope["user"].is_authenticated:
            return None
        path = _MEDIA_PATH.fullmatch(scope["path"])
        link = QueryParams(scope["query_string"]).get(LINK_PARAMETER)
        if path is None or link is None or scope["method"] not in ("GET", "HEAD"):
            return None
        valid = self._links.read(path[1], link)
        return None if valid is None else valid.caller


def state_digest(state: FileState) -> bytes:
    return hashlib.sha256(repr(tuple(state)).encode()).digest()[:16]


def _padded(link: str) -> str:
    return link + "=" * (-len(link) % 4)
