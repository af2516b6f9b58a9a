"""`MCPServer` with strict arguments, scopes, rate limits, audit and clear errors.

The SDK ignores unknown arguments; this server rejects them and names the valid ones. Errors of
Sightline reach the caller unchanged. For any other error the caller gets the id of the request,
which leads to the traceback in the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError, UnexpectedToolError
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, CallToolResult, GetPromptResult, InputRequiredResult, Tool
from pydantic import AnyUrl, ValidationError

from sightline.server.auth import scopes
from sightline.server.config import redact_dsn
from sightline.server.lazy_resource import on_wait
from sightline.server.mcp_server.audit import Audit
from sightline.server.mcp_server.call_arguments import (
    format_validation_error,
    normalize_arguments,
    reject_bad_values,
    reject_unknown_arguments,
)
from sightline.server.mcp_server.caller_link import CallStoppedError, stop_call
from sightline.server.mcp_server.in_flight import InFlight
from sightline.server.mcp_server.published_schema import publish_schema
from sightline.server.mcp_server.rate_limit import RateLimiter
from sightline.server.mcp_server.request_ids import identify_request
from sightline.server.mcp_server.result_text import clean_result, clean_text
from sightline.server.observability.metrics import Metrics, Outcome
from sightline.storage.errors import (
    NotAllowedError,
    SightlineError,
    TooManyCallsError,
    UnknownNameError,
    describe,
)
from sightline.storage.isolation.caller import as_caller, as_principal, message_for_caller
from sightline.storage.isolation.request_identity import ensure_request
from sightline.tools.registry import TOOL_NAMES
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_results import to_resource_error

logger = logging.getLogger(__name__)

#: Names of resource reads and prompts in metrics and in the audit log.
_READ_RESOURCE = "resources/read"
_GET_PROMPT = "prompts/get"
#: Metrics and the audit log contain no names that a caller made up.
_UNKNOWN_TOOL = "unknown tool"
_MAX_URI_CHARS = 60_000  # those with drawn boxes are the longest


class SightlineServer(MCPServer[Dependencies]):
    """`MCPServer` that checks, limits, measures and audits each call."""

    #: Address of the web app on this machine; None without one.
    page_url: str | None = None

    def __init__(
        self,
        *args: Any,
        metrics: Metrics,
        audit: Audit,
        rate_limiter: RateLimiter,
        call_timeout_seconds: float,
        **kwargs: Any,
    ) -> None:
        self._tools: dict[str, Tool] = {}
        super().__init__(*args, middleware=[identify_request], **kwargs)
        self._call_timeout_seconds = call_timeout_seconds
        self.metrics = metrics
        self._audit = audit
        self._rate_limiter = rate_limiter
        self.running_calls = InFlight()

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        context: Context[Dependencies, Any] | None = None,
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool. Raise ToolError with the next step if it fails."""
        tools = await self._tools_by_name()
        if name not in tools:
            with self._audited(_UNKNOWN_TOOL, {}) as set_outcome:
                raise ToolError(self._refuse_unknown("tool", name, tools, set_outcome))
        tool = tools[name]
        started = time.perf_counter()
        with (
            as_caller(_caller_name()),
            self.running_calls.track(),
            self._audited(name, arguments) as set_outcome,
            self._stoppable(name, context, ToolError),
        ):
            try:
                with self._admitted(_missing_tool_scope(tool)):
                    known = tool.input_schema.get("properties", {})
                    reject_unknown_arguments(name, arguments, known)
                    arguments = normalize_arguments(arguments, tool.input_schema)
                    reject_bad_values(arguments)
                    principal = await self._restricted_principal()
                    with _progress_reporter(context), as_principal(principal):
                        result = await super().call_tool(name, arguments, context)
                    if isinstance(result, CallToolResult):
                        result = clean_result(result)
            except asyncio.CancelledError:
                set_outcome("cancelled")
                logger.info("%s was cancelled after %.1f s", name, time.perf_counter() - started)
                raise
            except (SightlineError, ToolError) as error:
                outcome, tool_error = _to_tool_error(name, error)
                set_outcome(outcome)
                raise ToolError(clean_text(str(tool_error))) from error
            is_error = isinstance(result, CallToolResult) and result.is_error
            set_outcome("refused" if is_error else "ok")
            logger.info("%s answered in %.0f ms", name, 1000 * (time.perf_counter() - started))
            return result

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Dependencies, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource. The token needs the scope ``read``."""
        with (
            as_caller(_caller_name()),
            self._audited(_READ_RESOURCE, {"uri": str(uri)}) as set_outcome,
            self._stoppable("reading a resource", context, ResourceError),
        ):
            try:
                with self._admitted(_missing_read_scope()):
                    if (length := len(str(uri))) > _MAX_URI_CHARS:
                        set_outcome("refused")
                        limit = f"{_MAX_URI_CHARS:,} characters"
                        # A ResourceError would repeat the URI.
                        raise MCPError(INVALID_PARAMS, f"A URI of {length:,}; use at most {limit}.")
                    principal = await self._restricted_principal()
                    with _progress_reporter(context), as_principal(principal):
                        contents = await super().read_resource(uri, context)
                    if not isinstance(contents, InputRequiredResult):
                        contents = [_without_hidden(each) for each in contents]
            except asyncio.CancelledError:
                set_outcome("cancelled")
                raise
            except SightlineError as error:
                set_outcome(_outcome_of(error))
                raise to_resource_error(error) from error
            except ResourceError as error:
                cause = error.__cause__
                set_outcome("refused" if cause is None else _outcome_of(cause))
                raise type(error)(clean_text(str(error))) from cause
            set_outcome("ok")
            return contents

    @asynccontextmanager
    async def reading(self, call: str, arguments: Mapping[str, object]) -> AsyncIterator[None]:
        """Run the block as a call of scope ``read`` that is no MCP request.

        Raises SightlineError if it is refused, and CallStoppedError at the time limit.
        """
        with (
            as_caller(_caller_name()),
            self.running_calls.track(),
            self._audited(call, arguments) as set_outcome,
            stop_call(call, None, self._call_timeout_seconds),
        ):
            try:
                with self._admitted(_missing_read_scope()):
                    principal = await self._restricted_principal()
                    with as_principal(principal):
                        yield
            except asyncio.CancelledError:
                set_outcome("cancelled")
                raise
            except SightlineError as error:
                set_outcome(_outcome_of(error))
                raise
            set_outcome("ok")

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[Dependencies, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """Get a prompt. The SDK would log the traceback of an unknown name."""
        with as_caller(_caller_name()), self._audited(_GET_PROMPT, {}) as set_outcome:
            known = [prompt.name for prompt in await self.list_prompts()]
            if name not in known:
                message = self._refuse_unknown("prompt", name, known, set_outcome)
                raise MCPError(INVALID_PARAMS, message)
            with self._admitted(None):
                result = await super().get_prompt(name, arguments, context)
            set_outcome("ok")
            return result

    async def missing_scope(
        self, method: str, params: Mapping[str, Any]
    ) -> scopes.MissingScope | None:
        """Return the scope that the token lacks for a request, after auditing it."""
        name, arguments, missing = method, params, None
        if method == _READ_RESOURCE:
            missing = _missing_read_scope()
        elif method == "tools/call":
            name, arguments = str(params.get("name")), params.get("arguments") or {}
            tool = (await self._tools_by_name()).get(name)
            missing = None if tool is None else _missing_tool_scope(tool)
        if missing is not None:
            with self._audited(name, arguments if isinstance(arguments, dict) else {}) as outcome:
                outcome("denied")
        return missing

    async def restricted_principal(self, principal: str) -> str | None:
        """Return the principal if it is bound to collections, or None if it sees all."""
        return principal

    async def _restricted_principal(self) -> str | None:
        name = _caller_name()
        return None if name is None else await self.restricted_principal(name)

    def _refuse_unknown(
        self, what: str, name: str, known: Iterable[str], set_outcome: Callable[[Outcome], None]
    ) -> str:
        """Count a call of an unknown name; return the message for its caller."""
        error: SightlineError = UnknownNameError(what, name, known)
        try:
            with self._admitted(None):
                pass
        except TooManyCallsError as limited:
            error = limited
        set_outcome(_outcome_of(error))
        return clean_text(str(error))

    def add_tool(self, *args: Any, **kwargs: Any) -> None:
        """Add a tool; see the SDK."""
        self._tools = {}
        super().add_tool(*args, **kwargs)

    async def list_tools(self) -> list[Tool]:
        """Return all tools. The SDK would validate their schemas again each time.

        The schemas of Sightline's own tools are published flat.
        """
        return list((await self._tools_by_name()).values())

    async def _tools_by_name(self) -> dict[str, Tool]:
        self._tools = self._tools or {
            tool.name: _published(tool) for tool in await super().list_tools()
        }
        return self._tools

    @contextmanager
    def _audited(
        self, call: str, arguments: Mapping[str, Any]
    ) -> Iterator[Callable[[Outcome], None]]:
        """Count and audit a call. Its outcome is ``error`` unless the block sets another."""
        outcome: Outcome = "error"

        def set_outcome(value: Outcome) -> None:
            nonlocal outcome
            outcome = value

        started = time.perf_counter()
        try:
            with self.metrics.running.track_inprogress():
                yield set_outcome
        finally:
            seconds = time.perf_counter() - started
            self.metrics.call(call, outcome, seconds)
            self._audit.record(
                call,
                arguments,
                principal=_caller_name(),
                outcome=outcome,
                seconds=seconds,
            )

    @contextmanager
    def _stoppable(
        self,
        name: str,
        context: Context[Dependencies, Any] | None,
        error_type: Callable[[str], Exception],
    ) -> Iterator[None]:
        """Cancel the block after the time limit of a call, or when its client has gone."""
        request_id = None if context is None else context.request_id
        try:
            with stop_call(name, request_id, self._call_timeout_seconds):
                yield
        except CallStoppedError as error:
            raise error_type(str(error)) from None

    @contextmanager
    def _admitted(self, missing: scopes.MissingScope | None) -> Iterator[None]:
        """Apply the rate limit of the principal (none without a token), then the scope."""
        name = _caller_name()
        with nullcontext() if name is None else self._rate_limiter.limit(name):
            if missing is not None:
                raise NotAllowedError(missing.message)
            yield


def _published(tool: Tool) -> Tool:
    if tool.name not in TOOL_NAMES:
        return tool
    return tool.model_copy(update={"input_schema": publish_schema(tool.input_schema)})


def _caller_name() -> str | None:
    token = get_access_token()
    return None if token is None else token.client_id


def _missing_tool_scope(tool: Tool) -> scopes.MissingScope | None:
    needed = scopes.scope_of(tool.name, tool.annotations)
    return scopes.missing_scope(f"the tool {tool.name}", needed, get_access_token())


def _missing_read_scope() -> scopes.MissingScope | None:
    return scopes.missing_scope("reading a resource", "read", get_access_token())


def _without_hidden(contents: ReadResourceContents) -> ReadResourceContents:
    if isinstance(contents.content, bytes):
        return contents
    return replace(contents, content=clean_text(contents.content, contents.mime_type))


def _to_tool_error(name: str, error: Exception) -> tuple[Outcome, ToolError]:
    """Return the outcome and the error for the caller, without the wrapper of the SDK."""
    cause = error.__cause__ if isinstance(error, ToolError) and error.__cause__ else error
    if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
        return "refused", ToolError(format_validation_error(name, cause))
    if isinstance(cause, SightlineError):
        logger.info("%s: %s", name, redact_dsn(describe(cause)))
        return _outcome_of(cause), ToolError(redact_dsn(message_for_caller(cause)))
    if isinstance(error, UnexpectedToolError):
        return "error", ToolError(log_incident(name, cause))
    return "refused", ToolError(str(cause))


def _outcome_of(error: BaseException) -> Outcome:
    match error:
        case TooManyCallsError():
            return "limited"
        case NotAllowedError():
            return "denied"
    return "refused" if isinstance(error, SightlineError) else "error"


def log_incident(tool: str, error: BaseException) -> str:
    """Log an unexpected error and return a message without its private details."""
    with ensure_request() as request:
        logger.error("request %s: internal error in %s", request.id, tool, exc_info=error)
    return (
        f"{tool} failed because of an internal error (request {request.id}). Repeating the same "
        "call will probably fail again. The server log contains the details."
    )


@contextmanager
def _progress_reporter(context: Context[Dependencies, Any] | None) -> Iterator[None]:
    """Report to the client as progress what the call waits for."""
    started = time.monotonic()

    async def report(message: str) -> None:
        if context is not None:
            # Rises, but stays below 1: progress that the tool itself reports comes after it.
            progress = min(0.99, (time.monotonic() - started + 0.001) / 1000)
            await context.report_progress(progress, None, clean_text(message))

    token = on_wait.set(report)
    try:
        yield
    finally:
        on_wait.reset(token)
