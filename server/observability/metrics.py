"""Prometheus metrics of one process. Each server has its own registry."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from sightline.server.config.package_version import package_version

if TYPE_CHECKING:
    from sightline.server.models.vision_language.vlm_client import VlmCallStats
    from sightline.storage.ingest.progress import IngestSummary
    from sightline.storage.retrieval.retrieval_log import LoggedSearch

#: ``refused``: invalid request, or a part of the server is busy or missing. ``denied``: missing
#: permission. ``limited``: rate limit.
Outcome = Literal["ok", "refused", "denied", "limited", "cancelled", "error"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of tool calls and model calls, and gauges that are read on request."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = {"version": package_version(), "python": platform.python_version()}
        Info("build", "Version.", namespace="sightline", registry=self.registry).info(build)
        counter = partial(Counter, namespace="sightline", registry=self.registry)
        self._gauge = partial(Gauge, namespace="sightline", registry=self.registry)
        histogram = partial(
            Histogram, namespace="sightline", registry=self.registry, buckets=_SECONDS
        )
        self._calls = counter("tool_calls", "Tool calls by outcome.", ["tool", "outcome"])
        self._seconds = histogram("tool_seconds", "Duration of tool calls.", ["tool"])
        self.running = self._gauge("tool_calls_running", "Tool calls in progress.")
        self._ready = self._gauge("ready", "Whether searches can be answered.")
        self._resource_ready = self._gauge(
            "resource_ready", "Whether a part of the server is ready.", ["of"]
        )
        self._searches = counter(
            "searches",
            "Searches: found, weak (hits) only, or empty.",
            ["tool", "result"],
        )
        self._search_hits = counter("search_hits", "Hits of searches.", ["tool"])
        self._search_seconds = histogram("search_seconds", "Duration of searches.", ["tool"])
        self._stage_seconds = histogram(
            "search_stage_seconds", "Duration of the stages of searches.", ["stage"]
        )
        self._ingests = counter("ingests", "Ingests by `add_images` that came to an end.")
        self._ingest_files = counter("ingest_files", "Ingested files by outcome.", ["outcome"])
        self._ingest_images = counter("ingest_images", "Images of ingested files.")
        self._ingest_readings = counter(
            "ingest_read_images", "Ingested images by the way their text was read.", ["reading"]
        )
        self._ingest_seconds = counter(
            "ingest_stage_seconds", "Time of the stages of ingests, which overlap.", ["stage"]
        )
        self._http_responses = counter(
            "http_responses", "HTTP responses by status.", ["route", "method", "status"]
        )
        self._batch_items = histogram(
            "encoder_batch_items", "Number of items in a forward pass.", ["kind"], buckets=_ITEMS
        )
        self._batch_seconds = histogram(
            "encoder_batch_seconds", "Duration of a forward pass.", ["kind"]
        )
        self._vision_calls = counter(
            "vision_calls", "Vision-language model calls by outcome.", ["outcome"]
        )
        self._vision_seconds = histogram(
            "vision_seconds",
            "Duration of vision-language model calls, including waits and retries.",
        )
        self._vision_requests = counter(
            "vision_requests", "HTTP requests to the vision-language model, including retries."
        )
        self._vision_tokens = counter(
            "vision_tokens", "Tokens of the vision-language model.", ["of"]
        )

    def call(self, tool: str, outcome: Outcome, seconds: float) -> None:
        self._seconds.labels(tool).observe(seconds)
        self._calls.labels(tool, outcome).inc()

    def http_response(self, route: str, method: str, status: int) -> None:
        self._http_responses.labels(route, method, str(status)).inc()

    def batch(self, kind: str, items: int, seconds: float) -> None:
        """Count a forward pass. This method is a `BatchObserver`."""
        self._batch_items.labels(kind).observe(items)
        self._batch_seconds.labels(kind).observe(seconds)

    def vision(self, call: VlmCallStats) -> None:
        self._vision_calls.labels(call.outcome).inc()
        self._vision_seconds.observe(call.seconds)
        self._vision_requests.inc(call.requests)
        self._vision_tokens.labels("prompt").inc(call.prompt_tokens)
        self._vision_tokens.labels("answer").inc(call.answer_tokens)

    def readiness(self, states: Mapping[str, object]) -> None:
        """Set the states of a readiness probe: `ready`, and those of the parts."""
        self._ready.set(states["ready"] is True)
        for part, state in states.items():
            if part != "ready":
                self._resource_ready.labels(part).set(state == "ready")

    def search(self, search: LoggedSearch) -> None:
        """Count a search. Of weak hits only, probably none is what was searched."""
        is_weak = all("weak" in hit for hit in search.results)
        result = "empty" if not search.results else "weak" if is_weak else "found"
        self._searches.labels(search.tool, result).inc()
        self._search_hits.labels(search.tool).inc(len(search.results))
        for stage, milliseconds in search.timings_ms.items():
            if stage == "total":
                self._search_seconds.labels(search.tool).observe(milliseconds / 1000)
            else:
                self._stage_seconds.labels(stage).observe(milliseconds / 1000)

    def ingest(self, summary: IngestSummary) -> None:
        """Count an ingest in this process that came to an end."""
        self._ingests.inc()
        for outcome in ("added", "updated", "replaced", "unchanged", "duplicate", "failed"):
            self._ingest_files.labels(outcome).inc(getattr(summary, outcome))
        self._ingest_images.inc(summary.images)
        for reading, images in summary.readings.items():
            self._ingest_readings.labels(reading).inc(images)
        for stage, seconds in summary.stages.items():
            self._ingest_seconds.labels(stage).inc(seconds)

    def add_gauge(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a gauge ``sightline_<name>`` that calls ``value`` on each scrape."""
        self._gauge(name, help_).set_function(value)

    def add_labeled_gauge(
        self, name: str, help_: str, values: Mapping[str, Callable[[], float]]
    ) -> None:
        """Add a gauge with the label ``of`` that calls ``values`` on each scrape."""
        gauge = self._gauge(name, help_, ["of"])
        for label, function in values.items():
            gauge.labels(label).set_function(function)

    def exposition(self) -> bytes:
        """Return the Prometheus text format."""
        return generate_latest(self.registry)
