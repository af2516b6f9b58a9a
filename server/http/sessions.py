"""Sessions: limits, owners and resumed responses.

Protocol revisions up to 2025-11-25 have sessions. The SDK limits the sessions of all callers
together, so one caller could take them all. Here each principal has a limit; at the limit its least
recently used idle session is closed. The client of a closed session gets 404 and opens a new one,
as the MCP specification requires.

The SDK checks that a session is used with the credentials that opened it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus

from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.server.config.hosts import MCP_PATH
from sightline.server.http.fair_budget import FairBudget, principal_of
from sightline.server.http.http_limits import HttpLimits
from sightline.server.mcp_server.caller_link import CallerLink, SessionCalls, current_link
from sightline.server.mcp_server.rate_limit import RateLimiter

logger = logging.getLogger(__name__)

#: The SDK closes an idle session first, so that it is never open without being counted.
_EXPIRY_DELAY_SECONDS = 10.0


@dataclass(eq=False)
class Session:
    """A session of one principal."""

    principal: str
    calls: SessionCalls = field(default_factory=lambda: SessionCalls(0.0))
    last_used: float = 0.0
    #: Open HTTP requests that are not event streams, and open event streams.
    requests: int = 0
    streams: int = 0

    @property
    def is_idle(self) -> bool:
        return not self.requests and not self.calls.running

    def resume(self, stream_id: str) -> None:
        """Continue a call, because the current request reads its response."""
        link = self.calls.get(stream_id)
        if link is not None:
            _request_stack.get().enter_context(link.listening())


current_session: ContextVar[Session] = ContextVar("session")
#: Closed at the end of the current request.
_request_stack: ContextVar[ExitStack] = ContextVar("request_stack")


class SessionLimits:
    """ASGI middleware that limits sessions and sets `current_session`.

    It must be the innermost middleware, because it closes sessions through the inner application.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        on_close: Callable[[Session], None],
        limits: HttpLimits,
        rate_limiter: RateLimiter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._on_close = on_close
        self._rate_limiter = rate_limiter
        self._limits = limits
        self._budget = FairBudget(limits.max_sessions, limits.max_sessions_each)
        self._clock = clock
        self._sessions: dict[str, Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = principal_of(scope) if scope["type"] == "http" else None
        if principal is None or not _belongs_to_a_session(scope):
            await self._app(scope, receive, send)
            return
        session_id = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        if session_id is None:
            await self._open(principal, scope, receive, send)
            return
        session = self._sessions.get(session_id)
        if session is None or session.principal != principal:
            # The SDK answers 404.
            session = self._new_session(principal)

        async def send_and_forget(message: Message) -> None:
            if message["type"] == "http.response.start" and _has_ended(scope, message["status"]):
                self._forget(session_id, session)
            await send(message)

        with self._request(scope, session):
            await self._app(scope, receive, send_and_forget)

    async def _open(self, principal: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that opens a session, after making room for the session."""
        self._forget_expired()
        seconds = 0 if self._rate_limiter is None else self._rate_limiter.acquire(principal)
        if seconds or not await self._make_room(principal, scope):
            headers = {"Retry-After": str(seconds or 1)}
            await PlainTextResponse("too many sessions\n", 429, headers)(scope, receive, send)
            return
        session = self._new_session(principal)
        is_open = False

        async def send_and_register(message: Message) -> None:
            nonlocal is_open
            if message["type"] == "http.response.start" and message["status"] < 400:
                session_id = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER)
                if session_id is not None:
                    self._sessions[session_id] = session
                    is_open = True
            await send(message)

        try:
            with self._request(scope, session):
                await self._app(scope, receive, send_and_register)
        finally:
            if not is_open:
                self._budget.release(principal)

    async def _make_room(self, principal: str, scope: Scope) -> bool:
        """Reserve a session of the principal; close its idle ones if necessary."""
        while not self._budget.acquire(principal):
            idle = [
                (session.streams > 0, session.last_used, session_id)
                for session_id, session in self._sessions.items()
                if session.principal == principal and session.is_idle
            ]
            if not idle:
                return False
            _, _, session_id = min(idle)
            self._forget(session_id, self._sessions[session_id])
            logger.info("closing an idle session to make room for a new one")
            await self._delete(session_id, scope)
        return True

    async def _delete(self, session_id: str, scope: Scope) -> None:
        """End a session of the caller of a request as if its client had ended it."""
        headers = [(name, value) for name, value in scope["headers"] if name == b"host"]
        headers.append((MCP_SESSION_ID_HEADER.encode(), session_id.encode()))

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: Message) -> None:
            pass

        await self._app({**scope, "method": "DELETE", "headers": headers}, receive, send)

    def _new_session(self, principal: str) -> Session:
        return Session(principal, SessionCalls(self._limits.resume_seconds))

    @contextmanager
    def _request(self, scope: Scope, session: Session) -> Iterator[None]:
        """Set the session of a request, and count the request."""
        with ExitStack() as stack:
            link = None
            if scope["method"] == "POST":
                link = CallerLink(session.calls)
                stack.enter_context(link.listening())
            tokens = (
                current_session.set(session),
                current_link.set(link),
                _request_stack.set(stack),
            )
            is_stream = scope["method"] == "GET"
            session.streams += is_stream
            session.requests += not is_stream
            try:
                yield
            finally:
                session.streams -= is_stream
                session.requests -= not is_stream
                session.last_used = self._clock()
                current_session.reset(tokens[0])
                current_link.reset(tokens[1])
                _request_stack.reset(tokens[2])

    def _forget(self, session_id: str, session: Session) -> None:
        if self._sessions.get(session_id) is session:
            del self._sessions[session_id]
            self._budget.release(session.principal)
            self._on_close(session)

    def _forget_expired(self) -> None:
        oldest = self._clock() - self._limits.session_idle_seconds - _EXPIRY_DELAY_SECONDS
        for session_id, session in list(self._sessions.items()):
            if session.last_used < oldest and not session.requests and not session.streams:
                self._forget(session_id, session)


def _belongs_to_a_session(scope: Scope) -> bool:
    """Return whether the protocol revision of a request has sessions."""
    version = Headers(scope=scope).get(MCP_PROTOCOL_VERSION_HEADER)
    return scope["path"] == MCP_PATH and (version is None or version in HANDSHAKE_PROTOCOL_VERSIONS)


def _has_ended(scope: Scope, status: int) -> bool:
    return status == HTTPStatus.NOT_FOUND or (
        scope["method"] == "DELETE" and status == HTTPStatus.OK
    )
