"""What an operator watches, in Prometheus' form; one registry a server, none global."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from sightline.server.models.vision_language.call_state import Observation

#: ``refused``: the caller's mistake, or a busy or missing part, named in the answer; ``denied``:
#: the caller may not; ``limited``: it asked for too much.
Outcome = Literal["ok", "refused", "denied", "limited", "cancelled", "error"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of tool calls and forward passes, and gauges that are read when asked for."""

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
            "Time of tool calls.",
            ["tool"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._running = Gauge(
            "sightline_tool_calls_running", "Tool calls in progress.", registry=self.registry
        )
        self._batch_items = Histogram(
            "sightline_encoder_batch_items",
            "Items of a forward pass.",
            ["kind"],
            buckets=_ITEMS,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "sightline_encoder_batch_seconds",
            "Time of a forward pass.",
            ["kind"],
            buckets=_SECONDS,
            registry=self.registry,
        )

        self._vision_calls = Counter(
            "sightline_vision_calls",
            "Questions to the vision-language model by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._vision_seconds = Histogram(
            "sightline_vision_seconds",
            "Time of questions to the vision-language model, waiting and retries included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._vision_requests = Counter(
            "sightline_vision_requests",
            "HTTP requests to the vision-language model; more than its calls are retries.",
            registry=self.registry,
        )
        self._vision_tokens = Counter(
            "sightline_vision_tokens",
            "Tokens that the vision-language model read and wrote.",
            ["of"],
            registry=self.registry,
        )

    @contextmanager
    def call(self, tool: str) -> Iterator[Callable[[Outcome], None]]:
        """Measure a tool call; the block says how it ended, else it was an error."""
        outcome: Outcome = "error"

        def ended(how: Outcome) -> None:
            nonlocal outcome
            outcome = how

        began = time.perf_counter()
        self._running.inc()
        try:
            yield ended
        finally:
            self._running.dec()
            self._seconds.labels(tool).observe(time.perf_counter() - began)
            self._calls.labels(tool, outcome).inc()

    def batch(self, kind: str, items: int, seconds: float) -> None:
        """A `BatchObserver`: count a forward pass."""
        self._batch_items.labels(kind).observe(items)
        self._batch_seconds.labels(kind).observe(seconds)

    def vision(self, call: Observation) -> None:
        """Count a call to the vision-language model."""
        self._vision_calls.labels(call.outcome).inc()
        self._vision_seconds.observe(call.seconds)
        self._vision_requests.inc(call.requests)
        self._vision_tokens.labels("prompt").inc(call.prompt_tokens)
        self._vision_tokens.labels("answer").inc(call.answer_tokens)

    def gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """A gauge ``sightline_<name>`` that is read whenever somebody asks."""
        Gauge(f"sightline_{name}", help_, registry=self.registry).set_function(read)

    def gauges(self, name: str, help_: str, read: Mapping[str, Callable[[], float]]) -> None:
        """A gauge with a label ``of``, read whenever somebody asks."""
        gauge = Gauge(f"sightline_{name}", help_, ["of"], registry=self.registry)
        for label, function in read.items():
            gauge.labels(label).set_function(function)

    def exposition(self) -> bytes:
        """The text that a Prometheus server reads."""
        return generate_latest(self.registry)
