"""What operators ask a server over HTTP: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sightline.server.app import App
from sightline.server.observability.metrics import Metrics

_POOL = {
    "size": "pool_size",
    "idle": "pool_available",
    "waiting": "requests_waiting",
}


def register(app: App, metrics: Metrics, *, private: bool) -> None:
    """Add ``/healthz``, ``/readyz`` and ``/metrics``; the last asks for a token when ``private``,
    and one that sees every collection.

    The first two are open to orchestrators, and tell states alone: no reason, no address, no name.
    """
    metrics.gauge(
        "encoder_queue_items", "Pictures and texts that wait for the encoder.", lambda: _queue(app)
    )
    metrics.gauges(
        "database_connections",
        "Connections of the pool, and calls that wait for one.",
        {label: _pool(app, key) for label, key in _POOL.items()},
    )

    async def alive(_: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    async def ready(_: Request) -> Response:
        """200 when a search would be answered, 503 while it would not."""
        runtime = app.runtime
        if runtime is None or app.stopping:
            return JSONResponse({"ready": False}, status_code=503)
        states: dict[str, str] = dict(runtime.states())
        if states["database"] == "ready" and not await runtime.reachable():
            states["database"] = "unreachable"
        is_ready = all(state == "ready" for state in states.values())
        body = {"ready": is_ready, **states}
        vision = await runtime.vision_state()
        if vision is not None:
            # Told and not asked for: searches are answered without it, and questions with evidence.
            body["vision"] = vision
        return JSONResponse(body, status_code=200 if is_ready else 503)

    async def numbers(request: Request) -> Response:
        """Prometheus' text form."""
        if private and not request.user.is_authenticated:
            return PlainTextResponse(
                "a token is needed\n", status_code=401, headers={"WWW-Authenticate": "Bearer"}
            )
        if private and await app.tenant(request.user.username) is not None:
            return PlainTextResponse("they count the calls of others too\n", status_code=403)
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    for path, endpoint in (("/healthz", alive), ("/readyz", ready), ("/metrics", numbers)):
        app.custom_route(path, methods=["GET"])(endpoint)


def _queue(app: App) -> float:
    encoder = None if app.runtime is None else app.runtime.encoder.loading.value
    return 0 if encoder is None else encoder.queued_items


def _pool(app: App, key: str) -> Callable[[], float]:
    def read() -> float:
        database = None if app.runtime is None else app.runtime.database.value
        return 0 if database is None else database.statistics().get(key, 0)

    return read
