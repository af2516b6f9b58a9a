"""One principal cannot take the sessions, streams and memory of the others; real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp.types import TextContent

from sightline.server.auth import static_tokens
from sightline.server.http.http_limits import DEFAULT_LIMITS, HttpLimits
from sightline.server.http.http_server import start_http_server
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.settings import make_settings

CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "slow"}}
PING = {"jsonrpc": "2.0", "id": 8, "method": "ping"}


class Slow:
    """A tool that runs until ``go`` is set; it counts how its calls began and ended."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.started = asyncio.Semaphore(0)
        self.cancelled = asyncio.Semaphore(0)

    def register(self, mcp: MCPServer) -> None:
        @mcp.tool()
        async def slow() -> str:
            self.started.release()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.release()
                raise
            return "done"


class Target:
    """A running server with the tokens of alice and bob, or without tokens."""

    def __init__(self, url: str, tokens: dict[str, str], slow: Slow) -> None:
        self.url, self.tokens, self.slow = url, tokens, slow
        self.http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=None), timeout=60)

    def headers(self, who: str, session: str | None = None) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self.tokens[who]}"} if self.tokens else {}
        return {**ACCEPT, **token, **({} if session is None else {"Mcp-Session-Id": session})}

    async def send(
        self, who: str, message: dict[str, Any], session: str | None = None, **headers: str
    ) -> httpx2.Response:
        return await self.http.post(
            self.url, json=message, headers={**self.headers(who, session), **headers}
        )

    async def open_session(self, who: str) -> str:
        response = await self.send(who, INITIALIZE)
        assert response.status_code == 200, response.text
        return response.headers["mcp-session-id"]

    async def is_open(self, who: str, session: str) -> bool:
        status = (await self.send(who, PING, session)).status_code
        assert status in (200, 404)
        return status == 200


@asynccontextmanager
async def run_server(
    tmp_path: Path,
    *,
    principals: tuple[str, ...] = ("alice", "bob"),
    limits: HttpLimits = DEFAULT_LIMITS,
    **overrides: object,
) -> AsyncIterator[Target]:
    issued = {name: static_tokens.issue_token(name, ["read", "write"]) for name in principals}
    slow = Slow()
    settings = make_settings(
        tmp_path,
        tokens="\n".join(str(stored) for _, stored in issued.values()),
        **{
            "rate_limit__max_calls_per_minute": 0,
            "rate_limit__max_concurrent_calls": 0,
            "http__shutdown_timeout_seconds": 0.1,
            **overrides,
        },
    )
    async with start_http_server(settings, register=(slow.register,), limits=limits) as (
        url,
        running,
    ):
        # Nothing is bound, and there is no database that could say so.
        running.app.restricted_principal = _sees_everything  # type: ignore[method-assign]
        target = Target(url, {name: secret for name, (secret, _) in issued.items()}, slow)
        async with target.http:
            yield target


async def _sees_everything(principal: str) -> str | None:
    return None


@pytest.mark.parametrize("who", ["alice", "anybody"])
async def test_a_flood_of_sessions_closes_only_the_idle_sessions_of_its_principal(
    tmp_path: Path, who: str
) -> None:
    limit = DEFAULT_LIMITS.max_sessions_each
    principals = ("alice", "bob") if who == "alice" else ()
    async with run_server(tmp_path, principals=principals) as target:
        other = await target.open_session("bob") if principals else None
        busy = await target.open_session(who)
        call = asyncio.create_task(target.send(who, CALL, busy))
        await target.slow.started.acquire()
        mine = [await target.open_session(who) for _ in range(3 * limit)]
        states = [await target.is_open(who, session) for session in mine]
        assert states == [False] * (2 * limit + 1) + [True] * (limit - 1)
        target.slow.go.set()
        assert '"text":"done"' in (await call).text
        if other is not None:
            assert await target.is_open("bob", other)
            assert await target.open_session("bob")
        # A client whose session was closed begins again.
        assert await target.is_open(who, await target.open_session(who))


async def test_a_principal_whose_sessions_are_all_busy_gets_429(tmp_path: Path) -> None:
    limits = HttpLimits(max_sessions_each=3)
    async with run_server(tmp_path, limits=limits) as target:
        sessions = [await target.open_session("alice") for _ in range(3)]
        calls = [asyncio.create_task(target.send("alice", CALL, session)) for session in sessions]
        for _ in sessions:
            await target.slow.started.acquire()
        refused = await target.send("alice", INITIALIZE)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert await target.open_session("bob")
        target.slow.go.set()
        for call in calls:
            assert '"text":"done"' in (await call).text
        assert await target.open_session("alice")


async def test_concurrent_openings_do_not_exceed_the_limit(tmp_path: Path) -> None:
    limits = HttpLimits(max_sessions_each=5)
    async with run_server(tmp_path, limits=limits) as target:
        answers = await asyncio.gather(*(target.send("alice", INITIALIZE) for _ in range(40)))
        assert {answer.status_code for answer in answers} <= {200, 429}
        opened = [a.headers["mcp-session-id"] for a in answers if a.status_code == 200]
        assert sum([await target.is_open("alice", session) for session in opened]) == 5


async def test_a_request_that_opens_no_session_takes_none(tmp_path: Path) -> None:
    limits = HttpLimits(max_sessions_each=2)
    async with run_server(tmp_path, limits=limits) as target:
        first, second = [await target.open_session("alice") for _ in range(2)]
        for message in (PING, {}, {"jsonrpc": "2.0"}):
            assert (await target.send("alice", message)).status_code == 400
        # One session made room for the attempts.
        states = [await target.is_open("alice", session) for session in (first, second)]
        assert states == [False, True]
        await target.open_session("alice")
        assert await target.is_open("alice", second)


async def test_many_principals_together_leave_sessions_for_another(tmp_path: Path) -> None:
    crowd = tuple(f"user{number}" for number in range(10))
    limits = HttpLimits(max_sessions=40, max_sessions_each=64)
    async with run_server(tmp_path, principals=(*crowd, "bob"), limits=limits) as target:
        for who in crowd * 10:
            await target.send(who, INITIALIZE)
        assert await target.open_session("bob")


async def test_the_rate_of_new_sessions_is_limited(tmp_path: Path) -> None:
    limits = HttpLimits(max_sessions_each=4)
    async with run_server(tmp_path, limits=limits, rate_limit__max_calls_per_minute=1) as target:
        statuses = [(await target.send("alice", INITIALIZE)).status_code for _ in range(6)]
        assert statuses[:1] == [200]
        assert statuses[-1] == 429
        assert await target.open_session("bob")


async def test_event_streams_of_a_principal_are_limited(tmp_path: Path) -> None:
    limits = HttpLimits(max_streams_each=3)
    async with run_server(tmp_path, limits=limits) as target:
        async with asyncio.TaskGroup() as tasks, open_streams(target, "alice", 3):
            session = await target.open_session("alice")
            refused = await target.http.get(target.url, headers=target.headers("alice", session))
            assert refused.status_code == 429
            listen = await target.send(
                "alice",
                PING,
                **{"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen"},
            )
            assert listen.status_code == 429
            async with open_streams(target, "bob", 1):
                pass
            tasks.create_task(target.open_session("alice"))
        async with open_streams(target, "alice", 3):
            pass


@asynccontextmanager
async def open_streams(target: Target, who: str, count: int) -> AsyncIterator[None]:
    """Open event streams, each in its own session."""
    requests = [
        target.http.build_request(
            "GET", target.url, headers=target.headers(who, await target.open_session(who))
        )
        for _ in range(count)
    ]
    responses = [await target.http.send(request, stream=True) for request in requests]
    try:
        assert [response.status_code for response in responses] == [200] * count
        yield
    finally:
        for response in responses:
            await response.aclose()


async def test_open_requests_of_a_principal_leave_room_for_others(tmp_path: Path) -> None:
    async with run_server(tmp_path, http__max_connections=12) as target:
        session = await target.open_session("alice")
        calls = [
            asyncio.create_task(target.send("alice", {**CALL, "id": number}, session))
            for number in range(6)
        ]
        for _ in calls:
            await target.slow.started.acquire()
        refused = await target.send("alice", PING, session)
        assert refused.status_code == 429
        assert await target.open_session("bob")
        target.slow.go.set()
        await asyncio.gather(*calls)
        assert await target.is_open("alice", session)


class DroppedCall:
    """A call of the tool ``slow`` whose connection the client closes."""

    def __init__(self, target: Target, session: str, version: str) -> None:
        self.target, self.session, self.version = target, session, version
        self.last_event = ""

    async def start_and_drop(self) -> None:
        headers = {
            **self.target.headers("alice", self.session),
            "MCP-Protocol-Version": self.version,
        }
        async with self.target.http.stream(
            "POST", self.target.url, headers=headers, json=CALL
        ) as response:
            assert response.status_code == 200
            await self.target.slow.started.acquire()
            if self.version == "2025-11-25":
                async for line in response.aiter_lines():
                    if line.startswith("id: "):
                        self.last_event = line.removeprefix("id: ")
                        break


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_a_call_whose_client_has_gone_is_cancelled_after_the_grace_period(
    tmp_path: Path, version: str
) -> None:
    limits = HttpLimits(resume_seconds=0.01)
    async with run_server(tmp_path, limits=limits) as target:
        session = await target.open_session("alice")
        await DroppedCall(target, session, version).start_and_drop()
        await target.slow.cancelled.acquire()
        assert await target.is_open("alice", session)


async def test_a_resumed_call_is_answered(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        session = await target.open_session("alice")
        call = DroppedCall(target, session, "2025-11-25")
        await call.start_and_drop()
        headers = {
            **target.headers("alice", session),
            "MCP-Protocol-Version": "2025-11-25",
            "Last-Event-ID": call.last_event,
        }
        async with target.http.stream("GET", target.url, headers=headers) as response:
            lines = response.aiter_lines()
            async for line in lines:  # the new stream is open
                if line.startswith("id: "):
                    break
            target.slow.go.set()
            async for line in lines:
                if line.startswith("data: {"):
                    assert '"text":"done"' in line
                    break


async def test_the_end_of_a_session_cancels_its_calls_at_once(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        session = await target.open_session("alice")
        await DroppedCall(target, session, "2025-11-25").start_and_drop()
        ended = await target.http.delete(target.url, headers=target.headers("alice", session))
        assert ended.status_code == 200
        await target.slow.cancelled.acquire()


async def test_an_idle_session_ends_with_its_calls(tmp_path: Path) -> None:
    limits = HttpLimits(session_idle_seconds=0.05)
    async with run_server(tmp_path, limits=limits) as target:
        session = await target.open_session("alice")
        await DroppedCall(target, session, "2025-11-25").start_and_drop()
        await target.slow.cancelled.acquire()
        assert (await target.send("alice", PING, session)).status_code == 404


async def test_a_call_without_a_session_is_cancelled_with_its_connection(tmp_path: Path) -> None:
    async with run_server(tmp_path) as target:
        headers = target.headers("alice")
        del headers["Accept"]
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(
                streamable_http_client(target.url, http_client=http), mode="2026-07-28"
            ) as client,
        ):
            call = asyncio.create_task(client.call_tool("slow", {}))
            await target.slow.started.acquire()
            call.cancel()
        await target.slow.cancelled.acquire()


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_call_above_the_time_limit_is_stopped(tmp_path: Path, mode: str) -> None:
    async with (
        run_server(tmp_path, principals=(), limits__call_timeout_seconds=0.05) as target,
        Client(target.url, mode=mode) as client,
    ):
        result = await client.call_tool("slow", {})
        assert result.is_error
        (block,) = result.content
        assert isinstance(block, TextContent)
        assert "slow was stopped after 0.05 s, the time limit of a call" in block.text
        await target.slow.cancelled.acquire()
