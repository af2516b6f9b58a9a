"""Prometheus metrics. Each server has its own registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from sightline.server.models.vision_language.call_state import Observation

#: ``refused``: invalid request, or a part of the server is busy or missing. ``denied``: missing
#: permission. ``limited``: rate limit.
Outcome = Literal["ok", "refused", "denied", "limited", "cancelled", "error"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of tool calls and model calls, and gauges that are read on request."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "sightline_tool_calls",
            "Tool calls by outcome.",
            ["tool", "outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "sightline_tool_seconds",
            "Duration of tool calls.",
            ["tool"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._running = Gauge(
            "sightline_tool_calls_running", "Tool calls in progress.", registry=self.registry
        )
        self._batch_items = Histogram(
            "sightline_encoder_batch_items",
            "Number of items in a forward pass.",
            ["kind"],
            buckets=_ITEMS,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "sightline_encoder_batch_seconds",
            "Duration of a forward pass.",
            ["kind"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._vision_calls = Counter(
            "sightline_vision_calls",
            "Calls of the vision-language model by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._vision_seconds = Histogram(
            "sightline_vision_seconds",
            "Duration of vision-language model calls, including waits and retries.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._vision_requests = Counter(
            "sightline_vision_requests",
            "HTTP requests to the vision-language model, including retries.",
            registry=self.registry,
        )
        self._vision_tokens = Counter(
            "sightline_vision_tokens",
            "Prompt and answer tokens of the vision-language model.",
            ["of"],
            registry=self.registry,
        )

    @contextmanager
    def call(self, tool: str) -> Iterator[Callable[[Outcome], None]]:
        """Measure a call. Its outcome is ``error`` unless the block sets another."""
        outcome: Outcome = "error"

        def set_outcome(value: Outcome) -> None:
            nonlocal outcome
            outcome = value

        started = time.perf_counter()
        self._running.inc()
        try:
            yield set_outcome
        finally:
            self._running.dec()
            self._seconds.labels(tool).observe(time.perf_counter() - started)
            self._calls.labels(tool, outcome).inc()

    def batch(self, kind: str, items: int, seconds: float) -> None:
        """Count a forward pass. This method is a `BatchObserver`."""
        self._batch_items.labels(kind).observe(items)
        self._batch_seconds.labels(kind).observe(seconds)

    def vision(self, call: Observation) -> None:
        """Count a call of the vision-language model."""
        self._vision_calls.labels(call.outcome).inc()
        self._vision_seconds.observe(call.seconds)
        self._vision_requests.inc(call.requests)
        self._vision_tokens.labels("prompt").inc(call.prompt_tokens)
        self._vision_tokens.labels("answer").inc(call.answer_tokens)

    def add_gauge(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a gauge ``sightline_<name>`` that calls ``value`` on each scrape."""
        Gauge(f"sightline_{name}", help_, registry=self.registry).set_function(value)

    def add_labeled_gauge(
        self, name: str, help_: str, values: Mapping[str, Callable[[], float]]
    ) -> None:
        """Add a gauge with the label ``of`` that calls ``values`` on each scrape."""
        gauge = Gauge(f"sightline_{name}", help_, ["of"], registry=self.registry)
        for label, function in values.items():
            gauge.labels(label).set_function(function)

    def exposition(self) -> bytes:
        """Return the Prometheus text format."""
        return generate_latest(self.registry)
