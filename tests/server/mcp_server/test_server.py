"""Tests of argument validation, errors, progress and metrics of the MCP server."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from mcp import Client
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, TextContent
from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field

from sightline.server.lazy_resource import on_wait
from sightline.server.mcp_server.audit import Audit
from sightline.server.mcp_server.rate_limit import RateLimiter
from sightline.server.mcp_server.server import SightlineServer
from sightline.server.observability.metrics import Metrics
from sightline.storage.errors import ModelOverloadedError

MODES = ["2026-07-28", "legacy"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class ServerFixture:
    """A server with the tools that the tests need."""

    def __init__(self, call_timeout_seconds: float = 60) -> None:
        self.metrics = Metrics()
        self.entered = asyncio.Event()
        self.server = SightlineServer(
            "test",
            metrics=self.metrics,
            audit=Audit(None),
            rate_limiter=RateLimiter(per_minute=0, burst=1),
            call_timeout_seconds=call_timeout_seconds,
            lifespan=_nothing,
            log_level="WARNING",
        )
        self.server.add_tool(self.search)
        self.server.add_tool(self.nothing)
        self.server.add_tool(self.fail)
        self.server.add_tool(self.wait)
        self.server.add_tool(self.slow)
        self.server.resource("sightline://asset/{asset}")(self.asset)

    async def search(
        self, query: str, limit: Annotated[int, Field(ge=1, le=50)] = 5, flag: bool = False
    ) -> str:
        return f"{query} {limit} {flag}"

    async def nothing(self) -> str:
        return "nothing"

    async def fail(self, how: str) -> str:
        if how == "named":
            raise ModelOverloadedError("the encoder is busy; try again in a moment")
        if how == "tool":
            raise ToolError("asked for it")
        msg = "SECRET of the server"
        raise RuntimeError(msg)

    async def wait(self, ctx: Context[Any, Any]) -> str:
        tell = on_wait.get()
        assert tell is not None
        await tell("the encoder is loading")
        await tell("the encoder is loading still")
        await ctx.report_progress(1, 2)
        return "done"

    async def slow(self) -> str:
        self.entered.set()
        await asyncio.Event().wait()
        return "never"

    async def asset(self, asset: str) -> str:
        if asset == "broken":
            raise RuntimeError("SECRET of the server")
        if asset == "slow":
            await self.slow()
        raise ResourceNotFoundError(f"Unknown asset {asset!r}")

    def calls(self) -> dict[tuple[str, str], float]:
        """Return the call counts by tool and outcome from the metrics."""
        text = self.metrics.exposition().decode()
        return {
            (sample.labels["tool"], sample.labels["outcome"]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "sightline_tool_calls_total"
        }


@asynccontextmanager
async def _nothing(_: object) -> AsyncIterator[None]:
    yield


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def call(
    fixture: ServerFixture, mode: str, tool: str, **arguments: object
) -> tuple[bool, str]:
    """Return whether the call failed, and its text."""
    async with Client(fixture.server, mode=mode) as client:
        result = await client.call_tool(tool, arguments)
    return bool(result.is_error), text_of(result)


async def test_a_valid_call_is_answered_and_counted(mode: str) -> None:
    fixture = ServerFixture()
    assert await call(fixture, mode, "search", query="van", limit=3) == (False, "van 3 False")
    assert fixture.calls() == {("search", "ok"): 1}


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (
            "search",
            {"query": "van", "limt": 3},
            (
                "search has no argument 'limt'; did you mean 'limit'? "
                "(valid arguments: 'flag', 'limit', 'query')"
            ),
        ),
        (
            "search",
            {"query": "van", "top_k": 3},
            "search has no argument 'top_k' (valid arguments: 'flag', 'limit', 'query')",
        ),
        ("nothing", {"query": "van"}, "nothing has no argument 'query' (it has no arguments)"),
        (
            "serch",
            {},
            "Unknown tool 'serch'. Available: 'fail', 'nothing', 'search', 'slow', 'wait'.",
        ),
        ("search", {}, "search was called with invalid arguments: query: Field required"),
        (
            "search",
            {"query": "van", "limit": 0, "flag": "perhaps"},
            (
                "search was called with invalid arguments: "
                "limit: Input should be greater than or equal to 1 (got 0); "
                "flag: Input should be a valid boolean, unable to interpret input (got 'perhaps')"
            ),
        ),
        (
            "search",
            {"query": ["van", "car"]},
            (
                "search was called with invalid arguments: "
                "query: Input should be a valid string (got ['van', 'car'])"
            ),
        ),
    ],
)
async def test_an_invalid_call_fails_with_the_valid_options(
    mode: str, tool: str, arguments: dict[str, object], message: str
) -> None:
    assert await call(ServerFixture(), mode, tool, **arguments) == (True, message)


async def test_the_message_truncates_a_huge_argument(mode: str) -> None:
    _, text = await call(ServerFixture(), mode, "search", query="van", limit="9" * 100_000)
    assert len(text) < 1_000


async def test_a_sightline_error_reaches_the_caller_unchanged(
    mode: str,
) -> None:
    fixture = ServerFixture()
    answer = await call(fixture, mode, "fail", how="named")
    assert answer == (True, "the encoder is busy; try again in a moment")
    assert fixture.calls() == {("fail", "refused"): 1}


async def test_a_tool_error_reaches_the_caller_unchanged(mode: str) -> None:
    assert await call(ServerFixture(), mode, "fail", how="tool") == (True, "asked for it")


async def test_an_unexpected_error_is_logged_with_the_id_of_its_request(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    fixture = ServerFixture()
    failed, text = await call(fixture, mode, "fail", how="otherwise")
    number = text.split("(request ")[1][:16]
    assert failed
    assert "SECRET" not in text
    (record,) = [each for each in caplog.records if number in each.getMessage()]
    assert record.levelno == logging.ERROR
    assert "SECRET of the server" in str(record.exc_info)
    assert fixture.calls() == {("fail", "error"): 1}


async def test_each_failed_request_has_its_own_id(mode: str) -> None:
    fixture = ServerFixture()
    async with Client(fixture.server, mode=mode) as client:
        refused = [await client.call_tool("search", {"wrong": 1}) for _ in range(2)]
        answered = await client.call_tool("nothing", {})
        with pytest.raises(MCPError) as unread:
            await client.read_resource("sightline://asset/unknown")
    ids = [(each.meta or {})["sightline/request_id"] for each in refused]
    ids.append(unread.value.data["request_id"])
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
    assert "sightline/request_id" not in (answered.meta or {})


async def test_waiting_is_reported_as_rising_progress(mode: str) -> None:
    reports: list[tuple[float, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, message))

    async with Client(ServerFixture().server, mode=mode) as client:
        await client.call_tool("wait", {}, progress_callback=on_progress)
    assert [message for _, message in reports] == [
        "the encoder is loading",
        "the encoder is loading still",
        None,
    ]
    assert [progress for progress, _ in reports] == sorted({progress for progress, _ in reports})


async def test_a_cancelled_call_is_counted_as_cancelled(mode: str) -> None:
    fixture = ServerFixture()
    async with Client(fixture.server, mode=mode) as client:
        calling = asyncio.create_task(client.call_tool("slow", {}))
        await fixture.entered.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    assert fixture.calls() == {("slow", "cancelled"): 1}


async def test_a_call_above_the_time_limit_is_cancelled(mode: str) -> None:
    fixture = ServerFixture(call_timeout_seconds=0.01)
    failed, text = await call(fixture, mode, "slow")
    assert failed
    assert text == (
        "slow was stopped after 0.01 s, the time limit of a call. What it had finished is stored; "
        "call it again to go on."
    )
    assert fixture.calls() == {("slow", "cancelled"): 1}


async def test_reading_a_resource_above_the_time_limit_is_cancelled(mode: str) -> None:
    fixture = ServerFixture(call_timeout_seconds=0.01)
    async with Client(fixture.server, mode=mode) as client:
        with pytest.raises(MCPError, match=r"stopped after 0\.01 s"):
            await client.read_resource("sightline://asset/slow")
    assert fixture.calls() == {("resources/read", "cancelled"): 1}


async def test_a_resource_error_names_the_resource_but_no_internal_details(mode: str) -> None:
    async with Client(ServerFixture().server, mode=mode) as client:
        with pytest.raises(MCPError, match="Unknown asset 'x'"):
            await client.read_resource("sightline://asset/x")
        with pytest.raises(MCPError) as caught:
            await client.read_resource("sightline://asset/broken")
    assert "SECRET" not in str(caught.value)
