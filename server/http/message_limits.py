"""Limits of one JSON-RPC message: body size by method, length of names.

Only tools that take uploads need large bodies. Everything else is small, also because the SDK keeps
some requests for the time of a session or stream, and compares, repeats and logs names. The body is
read here once and checked before the SDK parses it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from typing import Any

from mcp.types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.server.auth.insufficient_scope import Challenge
from sightline.server.config.hosts import MCP_PATH
from sightline.server.http.fair_budget import principal_of
from sightline.server.http.http_limits import HttpLimits
from sightline.server.mcp_server.rate_limit import RateLimiter
from sightline.storage.errors import shown
from sightline.tools.registry import UPLOAD_TOOLS
from sightline.tools.shared.argument_types import MAX_NAME_CHARS

#: Kept as long as the session or stream is open.
_KEPT_METHODS = ("initialize", "subscriptions/listen")
MAX_KEPT_BYTES = 16 * 1024
MAX_MESSAGE_BYTES = 64 * 1024
#: Arguments of a call without uploads.
MAX_CALL_BYTES = 256 * 1024
MAX_ID_CHARS = 256
#: Parsing and validating one value costs as much as this many bytes of a text.
_BYTES_PER_VALUE = 64
MAX_JSON_VALUES = 50_000
_MESSAGE = ("http", "POST", MCP_PATH)
#: By `SightlineServer` and `SessionLimits`; a ping is cheap.
_COUNTED_ELSEWHERE = ("tools/call", "resources/read", "prompts/get", "initialize", "ping")

#: Returns the challenge of a JSON-RPC request that needs another token.
MessageCheck = Callable[[Scope, dict[str, Any]], Awaitable[Challenge | None]]


class MessageLimits:
    """ASGI middleware that answers 400, 413 or 429 to messages above a limit.

    ``byte_rate`` counts the bytes of the bodies of a principal, since parsing them costs time of
    all callers. ``request_rate`` counts its requests that `SightlineServer` does not count.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: HttpLimits,
        byte_rate: RateLimiter | None = None,
        request_rate: RateLimiter | None = None,
        check: MessageCheck | None = None,
    ) -> None:
        self._app = app
        self._max_bytes = limits.max_body_bytes
        self._byte_rate = byte_rate
        self._request_rate = request_rate
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal: Response | None = None
        is_message = (scope["type"], scope.get("method"), scope.get("path")) == _MESSAGE
        principal = principal_of(scope) if is_message else None
        if principal is not None:  # the route refuses others and does not read their body
            declared = int(Headers(scope=scope).get("content-length", "0"))
            refusal = self._refuse_bytes(principal, declared)
            if refusal is None:
                body = await _read(receive, self._max_bytes)
                if body is None:  # the client has gone
                    return
                # A body in chunks declares no length.
                refusal = self._refuse_bytes(principal, 0 if declared else len(body))
                refusal = refusal or self._refuse_values(principal, body)
                refusal = refusal or await self._refuse_message(scope, principal, body)
                receive = _replay(body, receive)
        await (refusal or self._app)(scope, receive, send)

    def _refuse_bytes(self, principal: str, count: int) -> Response | None:
        """Count bytes; return a refusal of too many in one body or of one principal."""
        if count > self._max_bytes:
            return _too_large("a body", self._max_bytes, None)
        return _limited(self._byte_rate, principal, count, "bytes", None)

    def _refuse_values(self, principal: str, body: bytes) -> Response | None:
        """Count JSON values as bytes: a body of small values takes the most time."""
        values = sum(map(body.count, (b",", b"[", b"{")))
        if values > MAX_JSON_VALUES:
            return _too_large("a body", MAX_JSON_VALUES, None, "JSON values")
        return _limited(self._byte_rate, principal, _BYTES_PER_VALUE * values, "JSON values", None)

    async def _refuse_message(self, scope: Scope, principal: str, body: bytes) -> Response | None:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return _error(HTTPStatus.BAD_REQUEST, "the body is not JSON", None, PARSE_ERROR)
        if not isinstance(message, dict):
            # The SDK refuses it.
            if len(body) > MAX_MESSAGE_BYTES:
                return _too_large("a body without a method", MAX_MESSAGE_BYTES, None)
            return None
        for what, name, limit in _names(message):
            if len(name) > limit:
                text = f"{what} has {len(name):,} characters; use at most {limit}: {shown(name)}"
                id_ = None if what == "id" else message.get("id")
                return _error(HTTPStatus.BAD_REQUEST, text, id_)
        what, max_bytes = _size_limit(message)
        if max_bytes is not None and len(body) > max_bytes:
            return _too_large(what, max_bytes, message.get("id"))
        if message.get("method") not in _COUNTED_ELSEWHERE and "id" in message:
            what = "requests that are no calls"
            refusal = _limited(self._request_rate, principal, 1, what, message["id"])
            if refusal is not None:
                return refusal
        challenge = None if self._check is None else await self._check(scope, message)
        if challenge is None:
            return None
        refusal = _error(HTTPStatus.FORBIDDEN, challenge.message, message.get("id"))
        refusal.headers["WWW-Authenticate"] = challenge.authenticate
        return refusal


def _size_limit(message: dict[str, Any]) -> tuple[str, int | None]:
    """Return what has a limit, and its bytes; None for that of all bodies."""
    method = message.get("method")
    if method != "tools/call":
        limit = MAX_KEPT_BYTES if method in _KEPT_METHODS else MAX_MESSAGE_BYTES
        return f"a message {shown(method)}", limit
    tool = _object(message.get("params")).get("name")
    is_upload = isinstance(tool, str) and tool in UPLOAD_TOOLS
    return f"a call of {shown(tool)}", None if is_upload else MAX_CALL_BYTES


def _names(message: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Yield the names in a message with what they name and their longest valid length."""
    params = _object(message.get("params"))
    for what, value in (
        ("id", message.get("id")),
        ("method", message.get("method")),
        ("progressToken", _object(params.get("_meta")).get("progressToken")),
    ):
        if isinstance(value, str | int):
            yield what, str(value), MAX_ID_CHARS
    if isinstance(name := params.get("name"), str):
        yield "name", name, MAX_NAME_CHARS
    for argument in _object(params.get("arguments")):
        yield "the name of an argument", argument, MAX_NAME_CHARS


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _too_large(what: str, limit: int, id_: object, unit: str = "bytes") -> Response:
    text = f"{what} is too large; send at most {limit:,} {unit}"
    return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text, id_)


def _limited(
    rate: RateLimiter | None, principal: str, amount: int, what: str, id_: object
) -> Response | None:
    """Count an amount; return 429 if it is above the limit."""
    seconds = rate.acquire(principal, amount) if rate is not None and amount else 0
    if not seconds:
        return None
    text = f"too many {what} in a short time; try again in {seconds} s"
    refusal = _error(HTTPStatus.TOO_MANY_REQUESTS, text, id_)
    refusal.headers["Retry-After"] = str(seconds)
    return refusal


def _error(status: HTTPStatus, text: str, id_: object, code: int = INVALID_REQUEST) -> Response:
    error = JSONRPCError(
        jsonrpc="2.0",
        id=id_ if isinstance(id_, int | str) else None,
        error=ErrorData(code=code, message=text),
    )
    content = error.model_dump_json(by_alias=True, exclude_unset=True)
    return Response(content, status, media_type="application/json")


async def _read(receive: Receive, max_bytes: int) -> bytes | None:
    """Return the body, cut above the limit, or None if the client has gone."""
    body = bytearray()
    while len(body) <= max_bytes:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a callable that receives the body as one message."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
