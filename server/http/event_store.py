"""In-memory event store: replays events to a session whose SSE stream broke.

It is used by protocol revisions with sessions (2025-11-25). The SDK passes the JSON-RPC id of a
request to the store, but not its session, and the ids of all clients start at 1. Therefore
`SessionLimits` sets the session in a context variable, which the tasks of the session inherit. The
SDK checks the credentials of a session before it stores or replays an event.
"""

from __future__ import annotations

import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage, jsonrpc_message_adapter

from sightline.server.http.sessions import Session, current_session

#: Approximate memory of an event without its texts.
_EVENT_OVERHEAD_BYTES = 512
#: A replay looks at all events of its principal.
_MAX_EVENTS_EACH = 4096


@dataclass(frozen=True, slots=True)
class _Event:
    session: Session
    stream_id: str
    #: JSON of the message, or empty for the event that starts a stream.
    message: str
    stored_at: float

    @property
    def size_bytes(self) -> int:
        # One character beyond the BMP makes all characters of a text four bytes long.
        return _EVENT_OVERHEAD_BYTES + sys.getsizeof(self.stream_id) + sys.getsizeof(self.message)


@dataclass(slots=True)
class _PrincipalEvents:
    """Events of one principal by number, oldest first."""

    #: An OrderedDict removes the first entry faster than a dict.
    by_number: OrderedDict[int, _Event] = field(default_factory=OrderedDict)
    bytes: int = 0


@dataclass
class InMemoryEventStore(EventStore):
    """Stores the newest events of all sessions, limited by total size and age.

    If the total is exceeded, the principal with the most bytes loses its oldest event, so events
    of one principal do not displace those of others.
    """

    max_bytes: int = 64 * 2**20
    ttl_seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    _principals: dict[str, _PrincipalEvents] = field(default_factory=dict, init=False)
    _total_bytes: int = field(default=0, init=False)
    _last_number: int = field(default=0, init=False)

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Store a message of the current session and return its event id."""
        text = "" if message is None else message.model_dump_json(by_alias=True, exclude_unset=True)
        self._last_number += 1
        session = current_session.get()
        event = _Event(session, stream_id, text, self.clock())
        events = self._principals.setdefault(session.principal, _PrincipalEvents())
        events.by_number[self._last_number] = event
        events.bytes += event.size_bytes
        self._total_bytes += event.size_bytes
        for principal in list(self._principals):
            self._expire(principal)
        if len(events.by_number) > _MAX_EVENTS_EACH:
            self._remove(session.principal, next(iter(events.by_number)))
        while self._total_bytes > self.max_bytes:
            largest = max(self._principals, key=lambda name: self._principals[name].bytes)
            self._remove(largest, next(iter(self._principals[largest].by_number)))
        return str(self._last_number)

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Send later events of the same stream if it belongs to the current session."""
        session = current_session.get()
        self._expire(session.principal)
        last_number = int(last_event_id) if re.fullmatch(r"[0-9]{1,18}", last_event_id) else 0
        events = self._principals.get(session.principal)
        last_event = None if events is None else events.by_number.get(last_number)
        if events is None or last_event is None or last_event.session is not session:
            return None
        session.resume(last_event.stream_id)
        later = [
            number
            for number, event in events.by_number.items()
            if number > last_number
            and event.session is session
            and event.stream_id == last_event.stream_id
        ]
        for number in later:
            event = events.by_number.get(number)  # may be evicted while others are sent
            if event is not None and event.message:
                message = jsonrpc_message_adapter.validate_json(event.message, by_name=False)
                await send_callback(EventMessage(message, str(number)))
        return last_event.stream_id

    def forget(self, session: Session) -> None:
        """Remove the events of a session that has ended."""
        events = self._principals.get(session.principal)
        if events is not None:
            of_session = [n for n, event in events.by_number.items() if event.session is session]
            for number in of_session:
                self._remove(session.principal, number)

    def _expire(self, principal: str) -> None:
        """Remove the old events of a principal."""
        oldest_allowed = self.clock() - self.ttl_seconds
        while events := self._principals.get(principal):
            number, event = next(iter(events.by_number.items()))
            if event.stored_at >= oldest_allowed:
                return
            self._remove(principal, number)

    def _remove(self, principal: str, number: int) -> None:
        events = self._principals[principal]
        size_bytes = events.by_number.pop(number).size_bytes
        events.bytes -= size_bytes
        self._total_bytes -= size_bytes
        if not events.by_number:
            del self._principals[principal]
