"""What a session was sent is kept for a while, and sent again to it where its stream broke off.

Of the revisions with sessions (2025-11-25). The SDK hands a store the JSON-RPC id of a request and
not its session, and clients all count from 1; so the session comes to the store on another way:
middleware makes one for each handshake, in a context variable that the session's own tasks inherit,
and puts it back for later requests of that session. Whether a caller may use a session is the SDK's
to check, by its credential, before anything is stored or replayed.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
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

#: About what Python takes for an event beside its text.
_EVENT_BYTES = 512


class _Session:
    """Whose events they are; compared by identity."""

    def __init__(self) -> None:
        #: Of its events, the oldest first.
        self.numbers: deque[int] = deque()


_session: ContextVar[_Session] = ContextVar("session")


@dataclass(frozen=True, slots=True)
class _Event:
    session: _Session
    stream: str
    #: The message as JSON; nothing where the event marks the beginning of a stream.
    message: str
    kept_at: float

    @property
    def size(self) -> int:
        return _EVENT_BYTES + len(self.message)


class SentEvents(EventStore):
    """The events of all sessions, the newest ``most_bytes`` of them and none older than
    ``kept_seconds``.
    """

    def __init__(
        self, most_bytes: int, kept_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_bytes = most_bytes
        self._kept_seconds = kept_seconds
        self._clock = clock
        # The oldest first; a plain dict is slow where they go.
        self._events: OrderedDict[int, _Event] = OrderedDict()
        self._bytes = 0
        self._newest = 0

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep a message of a stream of the current session; its number."""
        text = "" if message is None else message.model_dump_json(by_alias=True, exclude_unset=True)
        self._newest += 1
        event = _Event(_session.get(), stream_id, text, self._clock())
        self._events[self._newest] = event
        event.session.numbers.append(self._newest)
        self._bytes += event.size
        self._forget()
        return str(self._newest)

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Send what followed on the stream of that event, if it is the current session's."""
        self._forget()
        session = _session.get()
        last = int(last_event_id) if re.fullmatch(r"[0-9]{1,18}", last_event_id) else 0
        known = self._events.get(last)
        if known is None or known.session is not session:
            return None
        for number in [each for each in session.numbers if each > last]:
            event = self._events.get(number)  # which may be forgotten while others are sent
            if event is not None and event.stream == known.stream and event.message:
                message = jsonrpc_message_adapter.validate_json(event.message, by_name=False)
                await send_callback(EventMessage(message, str(number)))
        return known.stream

    def _forget(self) -> None:
        oldest = self._clock() - self._kept_seconds
        while self._events:
            number, event = next(iter(self._events.items()))
            if self._bytes <= self._most_bytes and event.kept_at >= oldest:
                return
            del self._events[number]
            event.session.numbers.popleft()
            self._bytes -= event.size


class TellSession:
    """ASGI middleware: says in whose session a request is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # A session lives as long as the tasks that were begun in it, or its events.
        self._sessions: WeakValueDictionary[str, _Session] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = Headers(scope=scope).get(MCP_SESSION_ID_HEADER)
        session = self._sessions.get(name, _Session()) if name is not None else _Session()

        async def watch(message: Message) -> None:
            if name is None and message["type"] == "http.response.start":
                given = Headers(raw=message["headers"]).get(MCP_SESSION_ID_HEADER)
                if given is not None:
                    self._sessions[given] = session
            await send(message)

        token = _session.set(session)
        try:
            await self._app(scope, receive, watch)
        finally:
            _session.reset(token)
