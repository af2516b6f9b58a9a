"""Prometheus metrics. Each server has its own registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from sightline.server.models.vision_language.vlm_client import VlmCallStats

#: ``refused``: invalid request, or a part of the server is busy or missing. ``denied``: missing
#: permission. ``limited``: rate limit.
Outcome = Literal["ok", "refused", "denied", "limited", "cancelled", "error"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of tool calls and model calls, and gauges that are read on request."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, namespace="sightline", registry=self.registry)
        self._gauge = partial(Gauge, namespace="sightline", registry=self.registry)
        histogram = partial(
            Histogram, namespace="sightline", registry=self.registry, buckets=_SECONDS
        )
        self._calls = counter("tool_calls", "Tool calls by outcome.", ["tool", "outcome"])
        self._seconds = histogram("tool_seconds", "Duration of tool calls.", ["tool"])
        self.running = self._gauge("tool_calls_running", "Tool calls in progress.")
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
