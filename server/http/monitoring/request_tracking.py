"""Outermost middleware: request ids, counts of responses, end of the server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.server.config.hosts import MCP_PATH
from sightline.server.http.request_limits import is_stream
from sightline.server.mcp_server.in_flight import InFlight
from sightline.server.observability.metrics import Metrics
from sightline.storage.isolation.request_identity import RequestIdentity, as_request

REQUEST_ID_HEADER: Final = "X-Request-Id"
#: When a client may try again: another server answers then, or this one after a restart.
_RETRY_SECONDS = 5
_SESSION_CHARS = 12
_ROUTES = frozenset({MCP_PATH, "/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS"})

_STOPPING = PlainTextResponse(
    "the server is stopping; send the request again\n",
    503,
    {"Retry-After": str(_RETRY_SECONDS), "Connection": "close"},
)


class RequestTracking:
    """ASGI middleware that identifies, counts and tracks all requests.

    ``posts`` tracks the POST requests whose response ends: these carry the calls, and a shutdown
    waits for them. While ``is_stopping`` returns true, new ones get 503, so that no call begins
    that would be cut.
    """

    def __init__(
        self, app: ASGIApp, *, posts: InFlight, metrics: Metrics, is_stopping: Callable[[], bool]
    ) -> None:
        self._app = app
        self._posts = posts
        self._metrics = metrics
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = RequestIdentity(session=_session_digest(scope))
        method = scope["method"]

        async def send_identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request.id
                self._metrics.http_response(
                    _route(scope["path"]),
                    method if method in _METHODS else "other",
                    message["status"],
                )
            await send(message)

        is_call = method == "POST" and not is_stream(scope)
        refused = method == "POST" and self._is_stopping()
        with as_request(request), self._posts.track() if is_call else nullcontext():
            await (_STOPPING if refused else self._app)(scope, receive, send_identified)


def _session_digest(scope: Scope) -> str | None:
    session_id = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
    if session_id is None:
        return None
    return hashlib.sha256(session_id.encode()).hexdigest()[:_SESSION_CHARS]


def _route(path: str) -> str:
    if path in _ROUTES:
        return path
    return "/assets" if path.startswith("/assets/") else "other"
