"""``sightline serve --http``: streamable HTTP, loopback unless there are tokens.

Host and Origin are always checked against lists, so that a web page cannot reach the server
through a name that resolves to this machine. ``/healthz`` and ``/readyz`` are open and say states
only; ``/metrics`` asks for a token where there are any.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvicorn
from mcp.server.auth.routes import build_resource_metadata_url
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware

from sightline.server.app import App, Register, create_app
from sightline.server.auth.http_auth import gate
from sightline.server.auth.insufficient_scope import StepUp
from sightline.server.config.hosts import in_url, is_loopback
from sightline.server.config.settings import Settings, variable
from sightline.server.http import health_routes
from sightline.server.http.event_store import SentEvents, TellSession
from sightline.server.http.graceful_shutdown import CountPosts, InFlight, drain, stop
from sightline.server.http.rate_limit_middleware import Throttle
from sightline.server.mcp_server.rate_limit import Allowance
from sightline.server.observability.metrics import Metrics
from sightline.storage.errors import ConfigurationError
from sightline.tools.registry import register_all

logger = logging.getLogger(__name__)

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_BACKLOG = 512
#: Longer than clients keep an idle connection (five seconds, some a minute), so that it is they who
#: close it: a request that crosses our closing is lost, and with it the whole MCP client.
_KEEP_ALIVE_SECONDS = 75
#: For connections that neither answer nor stream, once all that is worth waiting for has ended.
_LAST_SECONDS = 5


def transport_security(settings: Settings) -> TransportSecuritySettings:
    """The Host and Origin headers that are accepted; explicit, whatever the address is."""
    hosts = [form for name in _LOOPBACK_NAMES for form in (name, f"{name}:*")]
    origins = list(settings.http_allowed_origins)
    if is_loopback(settings.http_host):
        origins += [f"http://{name}{port}" for name in _LOOPBACK_NAMES for port in ("", ":*")]
    elif settings.http_host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        name = in_url(settings.http_host)
        hosts += [name, f"{name}:*"]
    if settings.http_public_url is not None:
        hosts.append(urlsplit(settings.http_public_url).netloc)
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*hosts, *settings.http_allowed_hosts],
        allowed_origins=origins,
    )


def create_http_app(
    settings: Settings,
    address: str,
    *,
    register: tuple[Register, ...] = (register_all,),
    on_final: Callable[[Exception], None] | None = None,
) -> tuple[App, Starlette]:
    """The MCP server and its ASGI application, checked and not yet listening at ``address``."""
    opens = gate(settings, address)
    metrics = Metrics()
    app = create_app(
        settings,
        register=register,
        metrics=metrics,
        on_final=on_final,
        auth=None if opens is None else opens.settings,
        token_verifier=None if opens is None else opens.verifier,
    )
    health_routes.register(app, metrics, private=opens is not None)
    starlette = app.streamable_http_app(
        streamable_http_path=settings.http_path,
        max_request_body_size=settings.http_max_body_bytes,
        transport_security=transport_security(settings),
        host=settings.http_host,
        event_store=SentEvents(settings.http_resume_bytes, settings.http_resume_seconds),
        retry_interval=round(settings.http_retry_seconds * 1000),
    )
    starlette.user_middleware.append(Middleware(TellSession))
    if opens is not None:
        opens.install(starlette)
        per_minute = settings.principal_requests_per_minute
        requests = Allowance(per_minute=per_minute, burst=max(1, per_minute // 10))
        # Behind authentication: the last that is listed is the innermost.
        starlette.user_middleware.append(Middleware(Throttle, allowance=requests))
        if opens.settings.resource_server_url is not None:
            where = build_resource_metadata_url(opens.settings.resource_server_url)
            step_up = Middleware(
                StepUp,
                lacking=app.lacking,
                scope_prefix=settings.jwt_scope_prefix,
                metadata_url=str(where),
                most_bytes=settings.http_max_body_bytes,
            )
            starlette.user_middleware.append(step_up)
    return app, starlette


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, which end the process by the signal when it is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that accepts calls."""

    app: App
    server: uvicorn.Server
    #: Done when the server has stopped, for whatever reason.
    running: asyncio.Task[None]
    #: Set, the end does not wait for running calls.
    hurry: asyncio.Event


@asynccontextmanager
async def listening(
    settings: Settings,
    *,
    register: tuple[Register, ...] = (register_all,),
    on_final: Callable[[Exception], None] | None = None,
) -> AsyncIterator[tuple[str, Listening]]:
    """A server that accepts calls inside the block: its MCP address, and the server itself.

    Leaving the block lets running calls finish for ``http_shutdown_seconds``. Raises
    ConfigurationError for an address, a port or a token that does not work.
    """
    bound = _bind(settings.http_host, settings.http_port)
    try:
        address = _url(settings, bound)
        app, starlette = create_http_app(settings, address, register=register, on_final=on_final)
        posts, hurry = InFlight(), asyncio.Event()
        server = _Uvicorn(
            uvicorn.Config(
                CountPosts(starlette, posts),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",  # else uvicorn takes its failure for a server without one
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_LAST_SECONDS,
            )
        )
        running = asyncio.create_task(server.serve(sockets=[bound]))
        try:
            yield address, Listening(app, server, running, hurry)
        finally:
            app.stopping = True
            await drain(app.calls, posts, seconds=settings.http_shutdown_seconds, hurry=hurry)
            await stop(server, running)
    finally:
        bound.close()


async def serve(settings: Settings, *, on_listening: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; a second one does not wait for running calls.

    ``on_listening`` is told the address. Raises ConfigurationError for a setting that does not
    work, and what makes the database unusable.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Exception | None] = loop.create_future()
    hurry: asyncio.Event | None = None

    def finish(error: Exception | None = None) -> None:
        if not ended.done():
            ended.set_result(error)

    def told_to_stop() -> None:
        if ended.done() and hurry is not None:
            hurry.set()
        finish()

    with _signals(loop, told_to_stop):
        async with listening(settings, on_final=finish) as (url, listens):
            hurry = listens.hurry
            listens.running.add_done_callback(lambda _: finish(_not_started(listens.server)))
            logger.info("listening on %s", url)
            if on_listening is not None:
                on_listening(url)
            error = await ended
            logger.info("stopping")
    if error is not None:
        raise error


def _not_started(server: uvicorn.Server) -> Exception | None:
    if server.started:
        return None
    return ConfigurationError("the server could not be started; the log above says why")


@contextmanager
def _signals(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; set "
            f"{variable('http_port')} to another (0 picks a free one)"
        ) from error
    # asyncio does this only to sockets that name their protocol, which this one does not. Without
    # it the end of an answer waits 40 ms for the client to acknowledge its beginning. Connections
    # inherit it.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def _url(settings: Settings, bound: socket.socket) -> str:
    port = bound.getsockname()[1]
    return f"http://{in_url(settings.http_host)}:{port}{settings.http_path}"
