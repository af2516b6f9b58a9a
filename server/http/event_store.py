"""In-memory event store: replays events to a session whose SSE stream broke.

It is used by protocol revisions with sessions (2025-11-25). The SDK passes the JSON-RPC id of a
request to the store, but not its session, and the ids of all clients start at 1. Therefore
`set_session` sets the session in a context variable, which the tasks of the session
inherit. The SDK checks the credentials of a session before it stores or replays an event.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from mcp.server.streamable_http import (
    MCP_SESSION_ID_HEADER,
    EventCallback,
    EventMessage,
    EventStore,
)
from mcp.types import JSONRPCMessage, jsonrpc_message_adapter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Approximate memory of an event without its text.
_EVENT_OVERHEAD_BYTES = 512

#: Numbers of the events of a session, oldest first. Sessions are compared by identity.
_Session = deque[int]
_session: ContextVar[_Session] = ContextVar("session")


@dataclass(frozen=True, slots=True)
class _Event:
    session: _Session
    stream_id: str
    #: JSON of the message, or empty for the event that starts a stream.
    message: str
    stored_at: float

    @property
    def size_bytes(self) -> int:
        return _EVENT_OVERHEAD_BYTES + len(self.message)


@dataclass
class InMemoryEventStore(EventStore):
    """Stores the newest events of all sessions, limited by total size and age."""

    max_bytes: int = 64 * 2**20
    ttl_seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    #: Oldest first. An OrderedDict removes the first entry faster than a dict.
    _events: OrderedDict[int, _Event] = field(default_factory=OrderedDict, init=False)
    _total_bytes: int = field(default=0, init=False)
    _last_number: int = field(default=0, init=False)

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Store a message of the current session and return its event id."""
        text = "" if message is None else message.model_dump_json(by_alias=True, exclude_unset=True)
        self._last_number += 1
        event = _Event(_session.get(), stream_id, text, self.clock())
        self._events[self._last_number] = event
        event.session.append(self._last_number)
        self._total_bytes += event.size_bytes
        self._evict()
        return str(self._last_number)

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Send later events of the same stream if it belongs to the current session."""
        self._evict()
        session = _session.get()
        last_number = int(last_event_id) if re.fullmatch(r"[0-9]{1,18}", last_event_id) else 0
        last_event = self._events.get(last_number)
        if last_event is None or last_event.session is not session:
            return None
        for number in [number for number in session if number > last_number]:
            event = self._events.get(number)  # may be evicted while others are sent
            if event is not None and event.stream_id == last_event.stream_id and event.message:
                message = jsonrpc_message_adapter.validate_json(event.message, by_name=False)
                await send_callback(EventMessage(message, str(number)))
        return last_event.stream_id

    def _evict(self) -> None:
        oldest_allowed = self.clock() - self.ttl_seconds
        while self._events:
            number, event = next(iter(self._events.items()))
            if self._total_bytes <= self.max_bytes and event.stored_at >= oldest_allowed:
                return
            del self._events[number]
            event.session.popleft()
            self._total_bytes -= event.size_bytes


def set_session(app: ASGIApp) -> ASGIApp:
    """Return ASGI middleware that sets the session in a context variable."""
    # A session lives as long as its tasks or events refer to it.
    sessions: WeakValueDictionary[str, _Session] = WeakValueDictionary()

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        session_id = headers.get(MCP_SESSION_ID_HEADER)
        session = sessions.get(session_id or "", _Session())

        async def send_and_register(message: Message) -> None:
            if session_id is None and message["type"] == "http.response.start":
                new_id = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER)
                if new_id is not None:
                    sessions[new_id] = session
            await send(message)

        token = _session.set(session)
        try:
            await app(scope, receive, send_and_register)
        finally:
            _session.reset(token)

    return handle
