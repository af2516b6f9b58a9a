"""Who lacks a scope is led to the authorisation server for more of it, where there is one.

Both revisions of the protocol ("Runtime Insufficient Scope Errors") ask for HTTP 403 with a
challenge that names the scope of this one operation; clients add it to those that they hold. The
body is the request's JSON-RPC error with the same words, for clients that show those. A static
token has no server to ask: its holder gets a tool's error, which a model reads.

This only words the refusal. What may be done is decided where it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pydantic_core
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.types import INVALID_REQUEST, ErrorData, JSONRPCError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.server.auth import scopes

#: What the caller lacks for a request of this method with these parameters.
Lacking = Callable[[str, Mapping[str, Any]], scopes.Refusal | None]


class StepUp:
    """ASGI middleware; stands behind authentication."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        lacking: Lacking,
        scope_prefix: str,
        metadata_url: str,
        most_bytes: int,
    ) -> None:
        """Bodies beyond ``most_bytes`` are passed on unread, to be refused behind this."""
        self._app = app
        self._lacking = lacking
        self._scope_prefix = scope_prefix
        self._metadata_url = metadata_url
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or challenge its sender."""
        if scope["type"] == "http" and scope["method"] == "POST" and _may_lack(scope.get("user")):
            body, receive = await _read(receive, self._most_bytes)
            refusal = self._refusal(body)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, body: bytes) -> Response | None:
        try:
            request = pydantic_core.from_json(body)
        except ValueError:
            return None
        if not isinstance(request, dict):
            return None
        params = request.get("params")
        given = params if isinstance(params, dict) else {}
        refused = self._lacking(str(request.get("method")), given)
        if refused is None:
            return None
        needed = self._scope_prefix + refused.needed
        challenge = {
            "error": "insufficient_scope",
            "scope": needed,
            "resource_metadata": self._metadata_url,
            "error_description": f"this needs the scope {needed}",
        }
        id_ = request.get("id")
        error = JSONRPCError(
            jsonrpc="2.0",
            id=id_ if isinstance(id_, int | str) else None,
            error=ErrorData(code=INVALID_REQUEST, message=refused.why),
        )
        words = ", ".join(f'{name}="{value}"' for name, value in challenge.items())
        return Response(
            error.model_dump_json(by_alias=True, exclude_unset=True),
            403,
            {"WWW-Authenticate": f"Bearer {words}"},
            "application/json",
        )


def _may_lack(user: object) -> bool:
    """Whether it is the holder of a signed token that does not open everything."""
    if not isinstance(user, AuthenticatedUser):
        return False
    token = user.access_token
    return token.subject is not None and not set(scopes.SCOPES) <= set(token.scopes)


async def _read(receive: Receive, most_bytes: int) -> tuple[bytes, Receive]:
    """The body, nothing of a longer one, and what receives the same once more."""
    read: list[Message] = []
    body = b""
    while len(body) <= most_bytes:
        message = await receive()
        read.append(message)
        body += message.get("body", b"")
        if not message.get("more_body"):
            break

    async def again() -> Message:
        return read.pop(0) if read else await receive()

    return body if len(body) <= most_bytes else b"", again
