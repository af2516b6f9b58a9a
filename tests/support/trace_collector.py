"""A collector of traces: OTLP over HTTP with protobuf, as a real one speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.ports import free_port


@dataclass(frozen=True)
class CollectedSpan:
    """A span; ids are hexadecimal, ``parent`` is empty for a root."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    scope: str
    status: int
    attributes: dict[str, object]
    resource: dict[str, object]


@dataclass
class TraceCollector:
    """Keeps what it received."""

    url: str
    spans: list[CollectedSpan] = field(default_factory=list)
    #: The bodies of all requests.
    received: bytes = b""

    def named(self, name: str, trace: str | None = None) -> list[CollectedSpan]:
        return [span for span in self.spans if span.name == name and trace in (None, span.trace)]

    def names(self, trace: str) -> set[str]:
        return {span.name for span in self.spans if span.trace == trace}

    def parent_of(self, span: CollectedSpan) -> str | None:
        """Return the name of the parent, None if that is not one of the spans."""
        return next((each.name for each in self.spans if each.id == span.parent), None)

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        self.received += body
        message = ExportTraceServiceRequest.FromString(body)
        for group in message.resource_spans:
            resource = _values(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [
                    CollectedSpan(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.kind,
                        scope.scope.name,
                        span.status.code,
                        _values(span.attributes),
                        resource,
                    )
                    for span in scope.spans
                ]
        content = ExportTraceServiceResponse().SerializeToString()
        return Response(content, media_type="application/x-protobuf")


def _values(attributes: object) -> dict[str, object]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value"))
        for each in attributes  # type: ignore[attr-defined]
    }


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        self.listening.set()


@asynccontextmanager
async def run_collector() -> AsyncIterator[TraceCollector]:
    """Run a collector on a free port of this machine."""
    port = free_port()
    collector = TraceCollector(f"http://127.0.0.1:{port}")
    app = Starlette(routes=[Route("/v1/traces", collector.receive, methods=["POST"])])
    server = _Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    task = asyncio.create_task(server._serve())
    await server.listening.wait()
    try:
        yield collector
    finally:
        server.should_exit = True
        await task
