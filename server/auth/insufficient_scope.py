"""Answer 403 ``insufficient_scope`` if a signed token lacks a scope.

The MCP specification ("Runtime Insufficient Scope Errors") requires HTTP 403 with a challenge.
Clients then request the scope from the authorization server. The body is a JSON-RPC error with the
same message. A static token has no authorization server, so its caller gets a tool error instead.

This middleware only formats the answer. `SightlineServer` checks the scopes of each call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pydantic_core
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.types import INVALID_REQUEST, ErrorData, JSONRPCError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.server.auth import scopes

#: Returns the scope that the caller lacks for a JSON-RPC method with these parameters.
ScopeCheck = Callable[[str, Mapping[str, Any]], Awaitable[scopes.MissingScope | None]]


def challenge_insufficient_scope(
    app: ASGIApp,
    *,
    missing_scope: ScopeCheck,
    scope_prefix: str,
    metadata_url: str,
    max_body_bytes: int,
) -> ASGIApp:
    """Return ASGI middleware that must run after authentication.

    Larger bodies are forwarded unread; the server rejects them.
    """

    async def challenge(body: bytes) -> Response | None:
        try:
            request = pydantic_core.from_json(body)
        except ValueError:
            return None
        if not isinstance(request, dict):
            return None
        params = request.get("params")
        missing = await missing_scope(
            str(request.get("method")), params if isinstance(params, dict) else {}
        )
        if missing is None:
            return None
        id_ = request.get("id")
        error = JSONRPCError(
            jsonrpc="2.0",
            id=id_ if isinstance(id_, int | str) else None,
            error=ErrorData(code=INVALID_REQUEST, message=missing.message),
        )
        scope = scope_prefix + missing.scope
        fields = (
            f'error="insufficient_scope", scope="{scope}", resource_metadata="{metadata_url}", '
            f'error_description="this operation needs the scope {scope}"'
        )
        return Response(
            error.model_dump_json(by_alias=True, exclude_unset=True),
            403,
            {"WWW-Authenticate": f"Bearer {fields}"},
            "application/json",
        )

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        response: ASGIApp | None = None
        if (scope["type"], scope.get("method")) == ("http", "POST") and _may_lack_scope(
            scope.get("user")
        ):
            body, receive = await _read_body(receive, max_body_bytes)
            response = await challenge(body)
        await (response or app)(scope, receive, send)

    return handle


def _may_lack_scope(user: object) -> bool:
    """Return whether the caller has a signed token without all scopes."""
    if not isinstance(user, AuthenticatedUser):
        return False
    token = user.access_token
    return token.subject is not None and not set(scopes.SCOPES) <= set(token.scopes)


async def _read_body(receive: Receive, max_bytes: int) -> tuple[bytes, Receive]:
    """Return the body (empty if too large) and a callable that receives it again."""
    messages: list[Message] = []
    body = b""
    while len(body) <= max_bytes:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        if not message.get("more_body"):
            break

    async def replay() -> Message:
        return messages.pop(0) if messages else await receive()

    return body if len(body) <= max_bytes else b"", replay
