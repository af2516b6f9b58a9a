"""Send traces to the collector that the ``OTEL_*`` variables name, over OTLP.

The MCP SDK records a span for each message, and `sightline.storage.tracing` what happens inside.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sightline.server.config import redact_dsn
from sightline.server.config.package_version import package_version
from sightline.storage.errors import MissingExtraError

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
#: Wait for the last spans at the end of the process. A collector may be down.
_FLUSH_SECONDS = 2.0


class TraceExport(NamedTuple):
    """Whether the environment asks for traces, and the endpoint or what prevents it."""

    state: Literal["off", "on", "impossible"]
    message: str


def export_of(environment: Mapping[str, str]) -> TraceExport:
    """Return what the variables ask for."""
    endpoint = _first(environment, _ENDPOINTS)
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not endpoint or exporter == "none" or is_disabled:
        return TraceExport("off", f"set {_ENDPOINTS[1]} to send traces to a collector")
    protocol = _first(environment, _PROTOCOLS) or _PROTOCOL
    if exporter != "otlp" or protocol != _PROTOCOL:
        return TraceExport(
            "impossible",
            f"only the exporter otlp with the protocol {_PROTOCOL} is supported; unset "
            f"OTEL_TRACES_EXPORTER and {_PROTOCOLS[1]}, and use the port 4318 of the collector",
        )
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401
    except ImportError:
        missing = MissingExtraError("the packages of OpenTelemetry are not installed.", "otel")
        return TraceExport("impossible", str(missing))
    return TraceExport("on", f"sent to {redact_dsn(endpoint)}")


def configure(environment: Mapping[str, str]) -> None:
    """Collect traces if the variables ask for it; warn if that is impossible."""
    wanted = export_of(environment)
    if wanted.state == "impossible":
        logger.warning("no traces: %s", wanted.message)
    if wanted.state != "on":
        return
    from opentelemetry import trace
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from sightline.server.observability.span_exporter import PrivateSpanExporter

    resource = Resource.create({SERVICE_VERSION: package_version()})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "sightline"}))
    # At the end of the process `shut_down` limits the wait for the collector.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(PrivateSpanExporter()))
    trace.set_tracer_provider(provider)
    logger.info("sending traces to a collector")


def shut_down(seconds: float = _FLUSH_SECONDS) -> None:
    """Send the last spans; give up after some seconds."""
    trace = sys.modules.get("opentelemetry.trace")
    stop = getattr(trace and trace.get_tracer_provider(), "shutdown", None)
    if stop is not None:
        thread = threading.Thread(target=stop, name="last-spans", daemon=True)
        thread.start()
        thread.join(seconds)


def _first(environment: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((value for name in names if (value := environment.get(name))), None)
