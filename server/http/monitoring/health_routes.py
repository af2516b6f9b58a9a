"""Routes for operators: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sightline.server.app import App
from sightline.server.auth.scopes import missing_scope
from sightline.server.observability.library_metrics import LibraryMetrics
from sightline.server.observability.metrics import Metrics
from sightline.storage.maintenance.library_counts import LibraryCounts, count_library

#: Label of the metric, and the name in the pool statistics.
_POOL_STATISTICS = {"size": "pool_size", "idle": "pool_available", "waiting": "requests_waiting"}
#: Age up to which a readiness result is repeated, because anybody may ask.
_READINESS_TTL_SECONDS = 1.0
#: Longest wait of a scrape for the database, so that metrics are read while it is down.
_SCRAPE_SECONDS = 2.0


class ReadinessProbe:
    """Runs a probe at most once at a time and per second, and shares its result."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[dict[str, Any]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._task: asyncio.Task[dict[str, Any]] | None = None
        self._finished_at = 0.0

    async def result(self) -> dict[str, Any]:
        """Return the result of the running probe, of the last second or of a new probe."""
        if self._task is None or (
            self._task.done() and self._clock() - self._finished_at >= _READINESS_TTL_SECONDS
        ):
            self._task = asyncio.create_task(self._run())
        # One caller that leaves must not cancel the probe of the others.
        return await asyncio.shield(self._task)

    async def _run(self) -> dict[str, Any]:
        try:
            return await self._probe()
        finally:
            self._finished_at = self._clock()


def add_health_routes(app: App, metrics: Metrics, *, require_token: bool) -> None:
    """Add the routes to the app.

    ``/healthz`` and ``/readyz`` need no token and return states only. With ``require_token``,
    ``/metrics`` needs a token with the scope ``metrics``: it shows numbers of every collection.
    """
    metrics.add_gauge(
        "encoder_queue_items",
        "Images and texts that wait for the encoder.",
        partial(_queue_size, app),
    )
    metrics.add_labeled_gauge(
        "database_connections",
        "Connections of the pool, and calls that wait for a connection.",
        {label: partial(_pool_statistic, app, key) for label, key in _POOL_STATISTICS.items()},
    )

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def probe() -> dict[str, Any]:
        runtime = app.runtime
        if runtime is None:
            return {"ready": False}
        states: dict[str, str] = {**runtime.states()}
        if states["database"] == "ready" and not await runtime.is_database_reachable():
            states["database"] = "unreachable"
        body = {"ready": all(state == "ready" for state in states.values()), **states}
        vision = await runtime.vlm_state()
        if vision is not None:
            # Informational: readiness does not depend on the vision-language model.
            body["vision"] = vision
        return body

    readiness = ReadinessProbe(probe)
    library = LibraryMetrics(partial(_count_library, app), metrics.registry)

    async def readyz(_: Request) -> Response:
        """Return 200 if searches can be answered, else 503."""
        body = {"ready": False} if app.stopping else await readiness.result()
        return JSONResponse(body, status_code=200 if body["ready"] else 503)

    async def prometheus(request: Request) -> Response:
        if require_token and not request.user.is_authenticated:
            return PlainTextResponse(
                "authentication required\n", status_code=401, headers={"WWW-Authenticate": "Bearer"}
            )
        token = request.user.access_token if require_token else None
        missing = missing_scope("reading metrics", "metrics", token)
        if missing is not None:
            return PlainTextResponse(f"{missing.message}\n", status_code=403)
        states: dict[str, Any] = {"ready": False, "database": "unreachable"}
        with suppress(TimeoutError):
            async with asyncio.timeout(_SCRAPE_SECONDS):
                states = await readiness.result()
                await library.refresh()  # a large library is not counted in time
        metrics.readiness(states)
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.custom_route("/healthz", methods=["GET"])(healthz)
    app.custom_route("/readyz", methods=["GET"])(readyz)
    app.custom_route("/metrics", methods=["GET"])(prometheus)


async def _count_library(app: App) -> LibraryCounts | None:
    database = None if app.runtime is None else app.runtime.database.value
    return None if database is None else await count_library(database)


def _queue_size(app: App) -> float:
    encoder = None if app.runtime is None else app.runtime.encoder.value
    return 0 if encoder is None else encoder.queued_items


def _pool_statistic(app: App, key: str) -> float:
    database = None if app.runtime is None else app.runtime.database.value
    return 0 if database is None else database.statistics().get(key, 0)
