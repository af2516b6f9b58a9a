"""Prometheus metrics of the contents of the database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sightline.storage.errors import StorageError, describe

if TYPE_CHECKING:
    from sightline.storage.maintenance.library_counts import LibraryCounts

logger = logging.getLogger(__name__)

#: Counting reads each row once, which takes a second for some millions.
_TTL_SECONDS = 60.0
#: No collection has this name.
_OTHERS = ""


class LibraryMetrics(Collector):
    """Gauges of the last counts; only the first scrape waits for new ones."""

    def __init__(
        self,
        load: Callable[[], Awaitable[LibraryCounts | None]],
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``load`` returns None while there is no database."""
        self._load = load
        self._clock = clock
        self._counts: LibraryCounts | None = None
        self._counted_at = 0.0
        self._task: asyncio.Task[None] | None = None
        registry.register(self)

    async def refresh(self) -> None:
        """Count again in the background if the counts are old; wait for the first ones."""
        is_running = self._task is not None and not self._task.done()
        if not is_running and (
            self._counts is None or self._clock() - self._counted_at >= _TTL_SECONDS
        ):
            self._task = asyncio.create_task(self._count(), name="count the library")
        if self._counts is None and self._task is not None:
            # One scrape that ends must not cancel the count of the others.
            await asyncio.shield(self._task)

    async def _count(self) -> None:
        try:
            counts = await self._load()
        except StorageError as error:
            logger.warning("the contents were not counted for metrics: %s", describe(error))
            return
        if counts is not None:
            self._counts, self._counted_at = counts, self._clock()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; none before the first count."""
        counts = self._counts
        if counts is None:
            return
        number = sum(each.collections for each in counts.collections)
        yield GaugeMetricFamily("sightline_collections", "Number of collections.", number)
        gauges = {
            "assets": "Assets by collection.",
            "passages": "Passages by collection.",
            "done_sources": "Ingested files by collection.",
            "failed_sources": "Files by collection whose last ingest failed.",
        }
        for field, help_ in gauges.items():
            family = GaugeMetricFamily(f"sightline_{field}", help_, labels=["collection"])
            for each in counts.collections:
                family.add_metric([each.name or _OTHERS], getattr(each, field))
            yield family
        ingested = GaugeMetricFamily(
            "sightline_last_ingest_timestamp_seconds",
            "Time of the last ingest that changed a collection.",
            labels=["collection"],
        )
        for each in counts.collections:
            if each.ingested_at is not None:
                ingested.add_metric([each.name or _OTHERS], each.ingested_at)
        yield ingested
        readings = GaugeMetricFamily(
            "sightline_read_assets", "Assets by the way their text was read.", labels=["reading"]
        )
        for reading, number in counts.readings.items():
            readings.add_metric([reading], number)
        yield readings
        yield GaugeMetricFamily(
            "sightline_database_bytes", "Size of the database.", counts.database_bytes
        )
        yield GaugeMetricFamily(
            "sightline_counts_age_seconds",
            "Age of the counts of collections.",
            self._clock() - self._counted_at,
        )
