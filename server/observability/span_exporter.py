"""Export spans without the text of callers and collections.

Importing this needs the extra ``otel``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcp_types.methods import SPEC_CLIENT_METHODS, SPEC_CLIENT_NOTIFICATION_METHODS
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Status

from sightline.tools.registry import TOOL_NAMES

_METHOD = "mcp.method.name"
_METHODS = SPEC_CLIENT_METHODS | SPEC_CLIENT_NOTIFICATION_METHODS
#: Attributes of the SDK with names of a caller: what they may contain.
_NAMES: Mapping[str, frozenset[str]] = {
    "gen_ai.tool.name": TOOL_NAMES,
    "gen_ai.prompt.name": frozenset(),
}
_UNKNOWN = "unknown"
_MAX_ID_CHARS = 64


class PrivateSpanExporter(SpanExporter):
    """Removes the text of callers and of errors."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self._exporter = exporter or OTLPSpanExporter()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([without_text(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def without_text(span: ReadableSpan) -> ReadableSpan:
    """Return the span without the text of callers and errors.

    It has no events, no description of the status, no unknown names and no ``tracestate``.
    """
    attributes: dict[str, Any] = dict(span.attributes or {})
    name = span.name
    if (method := attributes.get(_METHOD)) is not None:
        # The SDK names the span after the method and the name in its parameters.
        name = attributes[_METHOD] = str(method) if method in _METHODS else _UNKNOWN
        for key, known in _NAMES.items():
            if (value := attributes.get(key)) is not None:
                attributes[key] = str(value) if value in known else _UNKNOWN
                name = f"{name} {attributes[key]}"
        if "jsonrpc.request.id" in attributes:
            attributes["jsonrpc.request.id"] = attributes["jsonrpc.request.id"][:_MAX_ID_CHARS]
    return ReadableSpan(
        name=name,
        context=_without_state(span.context),
        parent=None if span.parent is None else _without_state(span.parent),
        resource=span.resource,
        attributes=attributes,
        links=[Link(_without_state(link.context)) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _without_state(context: SpanContext) -> SpanContext:
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)
