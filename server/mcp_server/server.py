"""The SDK's server with the manners that a model needs: nothing is ignored, every error says why.

Unknown arguments are refused with the valid names (the SDK drops them), wrong ones are named with
what they may be, errors that Sightline names reach the caller in their own words, and any other
becomes an id that leads to the traceback in the log.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from difflib import get_close_matches
from typing import Any

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, InputRequiredResult
from pydantic import AnyUrl, ValidationError

from sightline.server.auth import scopes
from sightline.server.http.graceful_shutdown import InFlight
from sightline.server.lazy_resource import on_wait
from sightline.server.mcp_server.argument_validation import refuse_half_characters
from sightline.server.mcp_server.audit import Audit
from sightline.server.mcp_server.rate_limit import Allowance
from sightline.server.observability.metrics import Metrics, Outcome
from sightline.server.observability.redaction import redact_dsn
from sightline.storage.db import row_security
from sightline.storage.errors import (
    InvalidArgumentError,
    NotAllowedError,
    SightlineError,
    TooManyCallsError,
    UnknownNameError,
    choices,
    shown,
)
from sightline.tools.resources import as_resource_error
from sightline.tools.shared.dependencies import Dependencies

logger = logging.getLogger(__name__)

#: What reading a resource is called where calls are counted and noted.
_READING = "resources/read"


class Server(MCPServer[Dependencies]):
    """An `MCPServer` that checks, measures and words what goes through it."""

    def __init__(
        self,
        *args: Any,
        metrics: Metrics,
        audit: Audit,
        allowance: Allowance,
        **kwargs: Any,
    ) -> None:
        """``metrics`` counts the calls, ``audit`` notes them, ``allowance`` is each principal's;
        the rest is the SDK's.
        """
        super().__init__(*args, **kwargs)
        self._metrics = metrics
        self._audit = audit
        self._allowance = allowance
        #: The tool calls that run.
        self.calls = InFlight()

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        context: Context[Dependencies, Any] | None = None,
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; every failure is a ToolError whose message says what to do."""
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            known = [each.name for each in self._tool_manager.list_tools()]
            raise ToolError(str(UnknownNameError("tool", name, known)))
        began = time.perf_counter()
        with self.calls.one(), self._noted(name, arguments) as ended:
            try:
                with self._allowed():
                    self._check(tool, arguments)
                    with _telling(context), row_security.acting_for(await self._tenant()):
                        result = await super().call_tool(name, arguments, context)
            except asyncio.CancelledError:
                ended("cancelled")
                logger.info("%s was cancelled after %.1f s", name, time.perf_counter() - began)
                raise
            except (SightlineError, ToolError) as error:
                outcome, told = _worded_error(name, error)
                ended(outcome)
                raise told from error
            ended("refused" if isinstance(result, CallToolResult) and result.is_error else "ok")
            logger.info("%s answered in %.0f ms", name, 1000 * (time.perf_counter() - began))
            return result

    @contextmanager
    def _noted(
        self, what: str, arguments: Mapping[str, Any]
    ) -> Iterator[Callable[[Outcome], None]]:
        """Count and note a call; the block says how it ended, else it was an error."""
        outcome: Outcome = "error"
        token = get_access_token()
        began = time.perf_counter()
        with self._metrics.call(what) as counted:

            def ended(how: Outcome) -> None:
                nonlocal outcome
                outcome = how
                counted(how)

            try:
                yield ended
            finally:
                self._audit.note(
                    what,
                    arguments,
                    principal=None if token is None else token.client_id,
                    outcome=outcome,
                    seconds=time.perf_counter() - began,
                )

    def _allowed(self) -> AbstractContextManager[None]:
        """A call within what its principal may ask for; who needs no token may ask for all."""
        token = get_access_token()
        return nullcontext() if token is None else self._allowance.one(token.client_id)

    async def tenant(self, principal: str) -> str | None:
        """Whose material a principal's call works on; ``None`` is everybody's."""
        return principal

    async def _tenant(self) -> str | None:
        token = get_access_token()
        return None if token is None else await self.tenant(token.client_id)

    def lacking(self, method: str, params: Mapping[str, Any]) -> scopes.Refusal | None:
        """What the caller's token lacks for a request, which then goes no further: it is counted
        and noted here.
        """
        what, given, refused = method, params, None
        if method == _READING:
            refused = _refused_reading()
        elif method == "tools/call":
            what, given = str(params.get("name")), params.get("arguments") or {}
            tool = self._tool_manager.get_tool(what)
            refused = None if tool is None else _refused(tool)
        if refused is not None:
            with self._noted(what, given if isinstance(given, dict) else {}) as ended:
                ended("denied")
        return refused

    def _check(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        refused = _refused(tool)
        if refused is not None:
            raise NotAllowedError(refused.why)
        refuse_unknown(tool.name, arguments, tool.parameters.get("properties", {}))
        refuse_half_characters(arguments)

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Dependencies, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a resource; the token needs the scope ``read``."""
        with self._noted(_READING, {"uri": str(uri)}) as ended:
            try:
                with self._allowed():
                    refused = _refused_reading()
                    if refused is not None:
                        raise NotAllowedError(refused.why)
                    tenant = await self._tenant()
                    with _telling(context), row_security.acting_for(tenant):
                        read = await super().read_resource(uri, context)
            except SightlineError as error:
                ended(_outcome(error))
                raise as_resource_error(error) from error
            except ResourceError as error:
                ended("refused" if error.__cause__ is None else _outcome(error.__cause__))
                raise
            ended("ok")
            return read


def _refused(tool: Tool) -> scopes.Refusal | None:
    needed = scopes.scope_of(tool.name, tool.annotations)
    return scopes.refusal(f"the tool {tool.name}", needed, get_access_token())


def _refused_reading() -> scopes.Refusal | None:
    return scopes.refusal("reading", "read", get_access_token())


def refuse_unknown(tool: str, arguments: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise InvalidArgumentError for names that the tool does not have."""
    for name in arguments:
        if name not in known:
            close = get_close_matches(name, list(known), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            what = f"it takes: {choices(known)}" if known else "it takes none"
            raise InvalidArgumentError(f"{tool} has no argument {shown(name)}{hint} ({what})")


def worded(tool: str, error: ValidationError) -> str:
    """A validation error as one sentence an argument: which, what was given, what it may be."""
    sentences = []
    for detail in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        given = "" if detail["type"] == "missing" else f" (it is {shown(detail['input'])})"
        sentences.append(f"{place}: {message}{given}")
    return f"{tool} was called with wrong arguments: " + "; ".join(sentences)


def _worded_error(name: str, error: Exception) -> tuple[Outcome, ToolError]:
    """What the caller is told of an error; the SDK's wrapping is taken off first."""
    cause = error.__cause__ if isinstance(error, ToolError) and error.__cause__ else error
    if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
        return "refused", ToolError(worded(name, cause))
    if isinstance(cause, SightlineError):
        logger.info("%s: %s", name, cause)
        return _outcome(cause), ToolError(redact_dsn(str(cause)))
    if isinstance(error, UnexpectedToolError):
        return "error", ToolError(_incident(name, cause))
    return "refused", ToolError(str(cause))


def _outcome(error: BaseException) -> Outcome:
    match error:
        case TooManyCallsError():
            return "limited"
        case NotAllowedError():
            return "denied"
        case SightlineError():
            return "refused"
    return "error"


def _incident(tool: str, error: BaseException) -> str:
    """Log an error that nobody named, and give its id: the message may hold what is private."""
    number = secrets.token_hex(4)
    logger.error("incident %s in %s", number, tool, exc_info=error)
    return (
        f"{tool} failed inside the server (incident {number}); the server's log has the details. "
        "Trying the same again will hardly help."
    )


@contextmanager
def _telling(context: Context[Dependencies, Any] | None) -> Iterator[None]:
    """Inside the block, what a call waits for is reported to its client as progress."""
    began = time.monotonic()

    async def tell(message: str) -> None:
        if context is not None:
            # Below 1 and rising, so that whatever the tool itself reports comes after it.
            progress = min(0.99, (time.monotonic() - began + 0.001) / 1000)
            await context.report_progress(progress, None, message)

    token = on_wait.set(tell)
    try:
        yield
    finally:
        on_wait.reset(token)
