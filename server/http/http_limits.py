"""Limits of the HTTP server that no operator needs to change.

Tests use smaller ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Limits of connections, requests and sessions of one server."""

    #: Sessions of all principals. A session needs about 40 kB, at most 512 KiB.
    max_sessions: int = 1024
    max_sessions_each: int = 64
    #: Time without a request or open stream after which a session ends.
    session_idle_seconds: float = 600.0
    #: Time in which a client can resume a broken response before its call is cancelled. Longer
    #: than clients need to reconnect after a change of the network.
    resume_seconds: float = 30.0
    #: Open event streams of a principal. A session has one.
    max_streams_each: int = 64
    #: Idle connections of a principal that are closed after those of callers without a token.
    max_idle_each: int = 64
    #: Time to send the head of a request.
    head_seconds: float = 10.0
    #: Time in which a new connection does not make room for others: its head needs a round trip.
    newcomer_seconds: float = 2.0
    #: Time to send a body, plus the time that its bytes need at the minimum rate.
    body_seconds: float = 20.0
    min_body_bytes_per_second: int = 64 * 1024
    #: Time to send the rest of a body that was refused.
    linger_seconds: float = 5.0
    #: Time until a connection with too many requests may send the next one.
    pause_seconds: float = 1.0
    #: Time in which a client must read this much of its response.
    write_seconds: float = 30.0
    min_written_bytes: int = 64 * 1024
    #: Body of one request, and bodies of all open requests.
    max_body_bytes: int = 8 * 2**20
    max_total_body_bytes: int = 256 * 2**20


DEFAULT_LIMITS = HttpLimits()
