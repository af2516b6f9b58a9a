"""Streamable HTTP server of ``sightline serve --http``.

Without authentication it accepts a loopback address only. It always checks the Host and Origin
headers, so that a web page cannot reach the server through DNS rebinding.

Shutdown is graceful. New calls are refused, so that those that have begun come to an end. Open
connections have three causes: a running call, a response that is being sent, and a stream on which
a client waits for notifications. Shutdown waits for the first two only.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import uvicorn
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.routes import build_resource_metadata_url
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.middleware import Middleware

from sightline.server.app import App, Register, create_app
from sightline.server.auth.cursor_key import load_signing_key
from sightline.server.auth.http_auth import HttpAuth, create_http_auth
from sightline.server.auth.insufficient_scope import InsufficientScope
from sightline.server.config import Settings, variable
from sightline.server.config.hosts import MCP_PATH, in_url, reachable
from sightline.server.http import descriptors
from sightline.server.http.connections import Connections, LimitedProtocol
from sightline.server.http.event_store import InMemoryEventStore
from sightline.server.http.http_limits import DEFAULT_LIMITS, HttpLimits
from sightline.server.http.message_limits import MessageLimits
from sightline.server.http.monitoring.health_routes import add_health_routes
from sightline.server.http.monitoring.request_tracking import RequestTracking
from sightline.server.http.pictures.asset_routes import BearerChallenge, add_asset_routes
from sightline.server.http.pictures.image_links import ImageLinks
from sightline.server.http.pictures.media_links import MediaLinks, MediaLinkUsers
from sightline.server.http.pictures.media_routes import add_media_routes
from sightline.server.http.request_guard import guard_requests, transport_security
from sightline.server.http.request_limits import RequestBudgets
from sightline.server.http.sessions import SessionLimits
from sightline.server.http.web_routes import add_web_routes
from sightline.server.mcp_server.in_flight import InFlight
from sightline.server.mcp_server.rate_limit import RateLimiter, limit_requests
from sightline.server.observability.metrics import Metrics
from sightline.storage.errors import ConfigurationError
from sightline.tools.registry import register_all

logger = logging.getLogger(__name__)

_BACKLOG = 512
#: Without a proxy, another machine may have a quarter of the connections.
_ADDRESS_SHARE = 4
#: A peer that vanished without closing its connection is noticed after one to two minutes.
_KEEP_ALIVE_PROBES = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
_UNACKNOWLEDGED_MILLISECONDS = 60_000
#: Delay before a client of protocol revision 2025-11-25 reconnects a stream.
_SSE_RETRY_MS = 1000
#: HTTP requests per minute that are allowed for each allowed tool call.
_REQUESTS_PER_CALL = 4
#: Bytes of bodies per minute that are allowed for each allowed tool call.
_BYTES_PER_CALL = 256 * 1024
#: A client makes some requests when it connects.
_MIN_BURST = 16
#: Largest bodies that a principal can send at once.
_BURST_BODIES = 4
#: Longer than clients keep idle connections (5 to 60 s), so that the client closes them. If the
#: server closed one while a request is sent, the MCP client would fail.
_KEEP_ALIVE_SECONDS = 75
#: Wait for the remaining connections after calls and streams have ended.
_CLOSE_SECONDS = 5


def create_http_app(
    settings: Settings,
    address: str,
    *,
    register: tuple[Register, ...] = (register_all,),
    on_failure: Callable[[Exception], None] | None = None,
    limits: HttpLimits = DEFAULT_LIMITS,
) -> tuple[App, Starlette]:
    """Create the MCP server and its ASGI application for an MCP address."""
    http_auth = create_http_auth(settings, address)
    metrics = Metrics()
    app = create_app(
        settings,
        register=register,
        metrics=metrics,
        on_failure=on_failure,
        auth=None if http_auth is None else http_auth.settings,
        token_verifier=None if http_auth is None else http_auth.verifier,
        answers_commands=True,
    )
    add_health_routes(app, metrics, require_token=http_auth is not None)
    challenge = None if http_auth is None else _challenge(settings, http_auth)
    add_asset_routes(app, challenge)
    media_links = MediaLinks(load_signing_key(settings))
    add_media_routes(app, challenge, media_links)
    if settings.http.web_app:
        add_web_routes(app)
        app.page_url = f"http://{in_url(reachable(settings.http.host))}:{urlsplit(address).port}/"
    allowed = transport_security(settings)
    event_store = InMemoryEventStore()
    starlette = app.streamable_http_app(
        streamable_http_path=MCP_PATH,
        max_request_body_size=limits.max_body_bytes,
        transport_security=allowed,
        host=settings.http.host,
        event_store=event_store,
        session_idle_timeout=limits.session_idle_seconds,
        # `SessionLimits` refuses earlier, except for sessions that end at this moment.
        max_sessions=2 * limits.max_sessions,
        retry_interval=_SSE_RETRY_MS,
    )
    # A redirect would repeat the Host header.
    starlette.router.redirect_slashes = False
    middleware = starlette.user_middleware
    middleware.insert(0, Middleware(guard_requests, allowed=allowed))
    if http_auth is not None:
        http_auth.install(starlette)
        _insert_media_link_users(middleware, media_links)
    middleware += _principal_limits(settings, app, http_auth, event_store, limits)
    return app, starlette


def _insert_media_link_users(middleware: list[Middleware], links: MediaLinks) -> None:
    """Insert the middleware after the authentication, before its result is used."""
    used = [each.cls for each in middleware].index(AuthContextMiddleware)  # type: ignore[arg-type]
    middleware.insert(used, Middleware(MediaLinkUsers, links=links))


def _challenge(settings: Settings, http_auth: HttpAuth) -> BearerChallenge:
    resource_url = http_auth.settings.resource_server_url
    metadata_url = None if resource_url is None else str(build_resource_metadata_url(resource_url))
    return BearerChallenge(settings.auth.jwt.scope_prefix, metadata_url)


def _principal_limits(
    settings: Settings,
    app: App,
    http_auth: HttpAuth | None,
    event_store: InMemoryEventStore,
    limits: HttpLimits,
) -> list[Middleware]:
    """Return middleware that needs the principal of a request, the innermost last."""
    middleware: list[Middleware] = []
    session_rate = byte_rate = request_rate = check = None
    if http_auth is not None:
        calls_per_minute = settings.rate_limit.max_calls_per_minute
        per_minute = _REQUESTS_PER_CALL * calls_per_minute
        limiter = RateLimiter(per_minute=per_minute, burst=max(1, per_minute // 4))
        middleware.append(Middleware(limit_requests, rate_limiter=limiter))
        session_rate = RateLimiter(per_minute=calls_per_minute, burst=limits.max_sessions_each)
        request_rate = RateLimiter(
            per_minute=calls_per_minute, burst=max(_MIN_BURST, calls_per_minute // 5)
        )
        byte_rate = RateLimiter(
            per_minute=_BYTES_PER_CALL * calls_per_minute,
            burst=_BURST_BODIES * limits.max_body_bytes,
        )
    max_requests = settings.http.max_connections
    middleware.append(Middleware(RequestBudgets, max_requests=max_requests, limits=limits))
    if http_auth is not None:
        challenge = _challenge(settings, http_auth)
        if challenge.metadata_url is not None:
            check = InsufficientScope(
                app.missing_scope, challenge.scope_prefix, challenge.metadata_url
            )
    message_limits = Middleware(
        MessageLimits,
        limits=limits,
        byte_rate=byte_rate,
        request_rate=request_rate,
        check=check,
    )
    session_limits = Middleware(
        SessionLimits, on_close=event_store.forget, limits=limits, rate_limiter=session_rate
    )
    image_links = Middleware(ImageLinks, settings=settings)
    return [*middleware, message_limits, image_links, session_limits]


class _UvicornServer(uvicorn.Server):
    """uvicorn that closes slow connections.

    It has no signal handlers, because those of uvicorn would end the process with the signal.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    async def on_tick(self, counter: int) -> bool:
        self._connections.close_slow()
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts calls."""

    app: App
    server: uvicorn.Server
    #: Done when the server has stopped.
    task: asyncio.Task[None]
    posts: InFlight
    connections: Connections

    async def stop(self, timeout_seconds: float) -> None:
        """Refuse new calls, wait for those that have begun; then close streams and stop."""
        self.app.stopping = True
        deadline = time.monotonic() + timeout_seconds
        await self.posts.wait_idle(timeout_seconds)
        # A call of a session can go on when its connection has broken.
        await self.app.running_calls.wait_idle(deadline - time.monotonic())
        self.server.should_exit = True
        # This flag of sse-starlette is global to the process and is never reset by the library.
        AppStatus.should_exit = True
        try:
            await self.task
        finally:
            AppStatus.should_exit = False

    def force_stop(self) -> None:
        """Make `stop` not wait for running calls."""
        self.app.running_calls.stop_waiting()
        self.posts.stop_waiting()


@asynccontextmanager
async def start_http_server(
    settings: Settings,
    *,
    register: tuple[Register, ...] = (register_all,),
    on_failure: Callable[[Exception], None] | None = None,
    limits: HttpLimits = DEFAULT_LIMITS,
) -> AsyncIterator[tuple[str, RunningServer]]:
    """Run a server inside the block; yield its MCP address and the server.

    At the end of the block, running calls may finish within ``http.shutdown_timeout_seconds``.
    Raises ConfigurationError for an invalid address, port or token.
    """
    max_connections = descriptors.limit_connections(settings.http.max_connections)
    settings = settings.replace(http__max_connections=max_connections)
    bound = _bind(settings.http.host, settings.http.port)
    try:
        address = f"http://{in_url(settings.http.host)}:{bound.getsockname()[1]}{MCP_PATH}"
        app, starlette = create_http_app(
            settings, address, register=register, on_failure=on_failure, limits=limits
        )
        posts = InFlight()
        connections = _create_connections(settings, limits)
        config = uvicorn.Config(
            RequestTracking(
                starlette, posts=posts, metrics=app.metrics, is_stopping=lambda: app.stopping
            ),
            # uvicorn takes a class, but only calls it.
            http=partial(LimitedProtocol, connections=connections),  # type: ignore[arg-type]
            ws="none",
            proxy_headers=False,
            backlog=_BACKLOG,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",  # with "auto", uvicorn ignores errors of the lifespan
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_CLOSE_SECONDS,
        )
        server = _UvicornServer(config, connections)
        with descriptors.log_exhaustion_once():
            task = asyncio.create_task(server.serve(sockets=[bound]))
            running = RunningServer(app, server, task, posts, connections)
            try:
                yield address, running
            finally:
                await running.stop(settings.http.shutdown_timeout_seconds)
    finally:
        bound.close()


async def serve(settings: Settings, on_listening: Callable[[App], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; a second signal does not wait for running calls.

    ``on_listening`` is called when a client can connect. Raises ConfigurationError for an invalid
    setting, and the error that makes the database permanently unusable.
    """
    descriptors.raise_descriptor_limit()
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Exception | None] = loop.create_future()
    running: RunningServer | None = None

    def finish(error: Exception | None = None) -> None:
        if not ended.done():
            ended.set_result(error)

    def on_signal() -> None:
        if ended.done() and running is not None:
            running.force_stop()
        finish()

    with ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
            stack.callback(loop.remove_signal_handler, number)
        async with start_http_server(settings, on_failure=finish) as (url, running):
            not_started = ConfigurationError("The server could not start. The log has the reason.")
            running.task.add_done_callback(
                lambda _: finish(None if running.server.started else not_started)
            )
            logger.info("listening on %s", url)
            if on_listening is not None:
                on_listening(running.app)
            error = await ended
            logger.info("stopping")
    if error is not None:
        raise error


def _create_connections(settings: Settings, limits: HttpLimits) -> Connections:
    max_total = settings.http.max_connections
    # Behind a proxy all connections come from its address.
    has_proxy = settings.http.public_url is not None
    max_per_address = max_total if has_proxy else max(1, max_total // _ADDRESS_SHARE)
    return Connections(
        limits, max_total=max_total, max_per_address=max_per_address, has_proxy=has_proxy
    )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; set "
            f"{variable('http.port')} to another port (0 selects a free port)"
        ) from error
    # Without TCP_NODELAY, the end of a response waits 40 ms for an acknowledgment of its start.
    # asyncio sets it for sockets with an explicit protocol only. Connections inherit it.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {**_KEEP_ALIVE_PROBES, "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MILLISECONDS}
    for name, value in options.items():
        if (option := getattr(socket, name, None)) is not None:  # not on every platform
            bound.setsockopt(socket.IPPROTO_TCP, option, value)
    return bound
