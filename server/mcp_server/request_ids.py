"""MCP middleware: gives each request an id, which errors tell to the client."""

from __future__ import annotations

from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult

from sightline.storage.isolation.request_identity import ensure_request
from sightline.storage.tracing import annotate_span

#: Key in ``_meta`` of the result of a call that failed.
META_KEY: Final = "sightline/request_id"
#: Key in ``data`` of a JSON-RPC error.
DATA_KEY: Final = "request_id"


async def identify_request(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Run a message as the request of its HTTP request, or else as a new one.

    The span of the message gets the id as an attribute.
    """
    with ensure_request() as request:
        annotate_span("sightline.request.id", request.id)
        try:
            result = await call_next(ctx)
        except MCPError as error:
            data = error.error.data
            if data is None or isinstance(data, dict):
                error.error.data = {**(data or {}), DATA_KEY: request.id}
            raise
        return _with_id(result, request.id)


def _with_id(result: HandlerResult, request_id: str) -> HandlerResult:
    """Return a result, with the id if it is that of a call that failed."""
    if isinstance(result, CallToolResult) and result.is_error:
        meta = {**(result.meta or {}), META_KEY: request_id}
        return result.model_copy(update={"meta": meta})
    if isinstance(result, dict) and result.get("isError") is True:  # as it is sent
        meta = {**(result.get("_meta") or {}), META_KEY: request_id}
        return {**result, "_meta": meta}
    return result
