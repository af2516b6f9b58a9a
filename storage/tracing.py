"""Spans of OpenTelemetry inside a trace that somebody else has started.

The MCP SDK starts a span for each message if the process collects traces; a program that uses
Sightline as a library has its own. Without such a span nothing is recorded, and OpenTelemetry is
not imported. Attributes contain no text of callers or collections.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Protocol

Attribute = str | int | float | bool


class ActiveSpan(Protocol):
    """A span to which attributes can be added until it ends."""

    def set_attribute(self, key: str, value: Attribute) -> None: ...


class _NoSpan:
    def set_attribute(self, key: str, value: Attribute) -> None:
        pass


_NO_SPAN = _NoSpan()


@contextmanager
def span(
    name: str, *, is_client: bool = False, attributes: dict[str, Attribute] | None = None
) -> Iterator[ActiveSpan]:
    """Record the block as a child of the current span, if that is recorded.

    ``is_client``: the block calls another server. Of an error only the type is recorded.
    """
    # Whoever has started a span has imported this module.
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not trace.get_current_span().is_recording():
        yield _NO_SPAN
        return
    with trace.get_tracer("sightline").start_as_current_span(
        name,
        kind=trace.SpanKind.CLIENT if is_client else trace.SpanKind.INTERNAL,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as active:
        try:
            yield active
        except BaseException as error:
            active.set_attribute("error.type", type(error).__qualname__)
            active.set_status(trace.StatusCode.ERROR)
            raise


def annotate_span(key: str, value: Attribute) -> None:
    """Add an attribute to the current span, if that is recorded."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None and (current := trace.get_current_span()).is_recording():
        current.set_attribute(key, value)


def current_trace_id() -> str | None:
    """Return the id of the current trace, or None if it is not recorded."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not (current := trace.get_current_span()).is_recording():
        return None
    return f"{current.get_span_context().trace_id:032x}"


def inject_trace_context(headers: MutableMapping[str, str]) -> None:
    """Add ``traceparent`` of the current span to headers.

    ``tracestate`` and baggage are not sent: they contain text of the client that began the trace.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None and (current := trace.get_current_span()).is_recording():
        context = current.get_span_context()
        ids = f"{context.trace_id:032x}-{context.span_id:016x}"
        headers["traceparent"] = f"00-{ids}-{context.trace_flags:02x}"
