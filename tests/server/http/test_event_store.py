"""Tests of SSE resumption over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventMessage
from mcp.types import JSONRPCNotification, TextContent

from sightline.server.auth import static_tokens
from sightline.server.http.event_store import InMemoryEventStore
from sightline.server.http.http_server import start_http_server
from sightline.server.http.sessions import Session as OpenSession
from sightline.server.http.sessions import current_session
from tests.support.mcp_messages import ACCEPT, INITIALIZE
from tests.support.settings import make_settings


def offer(mcp: MCPServer) -> None:
    @mcp.tool()
    async def break_off(answer: str, ctx: Context[Any, Any]) -> str:
        await ctx.close_sse_stream()
        return answer


@asynccontextmanager
async def run_server(tmp_path: Path, **options: Any) -> AsyncIterator[str]:
    settings = make_settings(tmp_path, **options)
    async with start_http_server(settings, register=(offer,)) as (url, _):
        yield url


class Session:
    """A plain HTTP client of the protocol revision with sessions."""

    def __init__(self, http: httpx2.AsyncClient, url: str, token: str | None = None) -> None:
        self._http, self._url = http, url
        self.headers = {**ACCEPT, "MCP-Protocol-Version": "2025-11-25"}
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    async def open(self) -> Session:
        response = await self._post(INITIALIZE)
        self.headers["Mcp-Session-Id"] = response.headers["mcp-session-id"]
        await self._post({"method": "notifications/initialized"})
        return self

    async def begin(self, answer: str, *, request: int = 7) -> str:
        """Start a call whose stream breaks before the answer; return the last event id."""
        params = {"name": "break_off", "arguments": {"answer": answer}}
        response = await self._post({"id": request, "method": "tools/call", "params": params})
        events = parse_events(response.text)
        assert [event["data"] for event in events] == [""]
        assert events[0]["retry"] == "1000"
        return events[0]["id"]

    async def resume(self, last_event: str) -> httpx2.Response | str:
        """Return the next answer ("" if there is none) or the error response."""
        headers = {**self.headers, "Last-Event-ID": last_event}
        async with self._http.stream("GET", self._url, headers=headers) as response:
            if response.status_code != 200:
                return response
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    result = json.loads(line.removeprefix("data: "))["result"]
                    return str(result["content"][0]["text"])
        return ""

    async def _post(self, message: dict[str, Any]) -> httpx2.Response:
        body = {"jsonrpc": "2.0", **message}
        response = await self._http.post(self._url, headers=self.headers, json=body)
        assert response.status_code in (200, 202), response.text
        return response


def parse_events(stream: str) -> list[dict[str, str]]:
    blocks = [block for block in stream.replace("\r\n", "\n").split("\n\n") if block.strip()]
    lines = [[line.partition(":") for line in block.split("\n")] for block in blocks]
    return [{name: value.strip() for name, _, value in block} for block in lines]


async def test_a_call_whose_stream_broke_is_answered_on_the_next_stream(tmp_path: Path) -> None:
    async with run_server(tmp_path) as url, Client(url, mode="legacy") as client:
        (block,) = (await client.call_tool("break_off", {"answer": "here"})).content
        assert isinstance(block, TextContent)
        assert block.text == "here"


async def test_a_session_gets_its_own_answers_only(tmp_path: Path) -> None:
    async with run_server(tmp_path) as url, httpx2.AsyncClient() as http:
        one, two = await Session(http, url).open(), await Session(http, url).open()
        of_one, of_two = await one.begin("for one"), await two.begin("for two")
        assert await two.resume(of_one) == ""
        assert await one.resume(of_two) == ""
        assert await one.resume(of_one) == "for one"
        assert await two.resume(of_two) == "for two"


async def test_an_answer_is_replayed_on_the_stream_of_its_own_call_only(tmp_path: Path) -> None:
    async with run_server(tmp_path) as url, httpx2.AsyncClient() as http:
        session = await Session(http, url).open()
        first = await session.begin("first", request=7)
        await session.begin("second", request=8)
        third = await session.begin("third", request=9)
        assert await session.resume(third) == "third"
        assert await session.resume(first) == "first"


async def test_nothing_is_replayed_after_an_unknown_event(tmp_path: Path) -> None:
    async with run_server(tmp_path) as url, httpx2.AsyncClient() as http:
        session = await Session(http, url).open()
        await session.begin("here")
        for unknown in ("0", "999999", "x", "-1", "9" * 5000):
            assert await session.resume(unknown) == ""


async def test_another_principal_cannot_resume_a_session(tmp_path: Path, database_dsn: str) -> None:
    alice, one = static_tokens.issue_token("alice", ["write"])
    mallory, two = static_tokens.issue_token("mallory", ["write"])
    async with (
        run_server(tmp_path, database__url=database_dsn, tokens=f"{one}\n{two}") as url,
        httpx2.AsyncClient() as http,
    ):
        session = await Session(http, url, alice).open()
        last = await session.begin("for alice")
        thief = Session(http, url, mallory)
        thief.headers["Mcp-Session-Id"] = session.headers["Mcp-Session-Id"]
        refused = await thief.resume(last)
        assert isinstance(refused, httpx2.Response)
        assert refused.status_code == 404
        own = await Session(http, url, mallory).open()
        assert await own.resume(last) == ""
        assert await session.resume(last) == "for alice"


async def test_old_events_are_evicted_by_age_and_by_total_size() -> None:
    now = 0.0
    seen: list[str] = []
    events = InMemoryEventStore(max_bytes=10_000, ttl_seconds=60, clock=lambda: now)

    async def see(event: EventMessage) -> None:
        assert isinstance(event.message, JSONRPCNotification)
        seen.append(event.message.method)

    current_session.set(OpenSession("ann"))
    beginning = await events.store_event("1", None)
    await events.store_event("1", notification("small"))
    assert await events.replay_events_after(beginning, see) == "1"
    assert seen == ["small"]
    now = 61.0
    assert await events.replay_events_after(beginning, see) is None

    beginning = await events.store_event("1", None)
    for name in ("a", "b"):
        await events.store_event("1", notification(name * 4_000))
    assert await events.replay_events_after(beginning, see) == "1"
    await events.store_event("1", notification("c" * 4_000))
    assert await events.replay_events_after(beginning, see) is None
    assert [method[0] for method in seen] == ["s", "a", "b"]


def notification(method: str) -> JSONRPCNotification:
    return JSONRPCNotification(jsonrpc="2.0", method=method)


async def count_replayed(events: InMemoryEventStore, after: str) -> int | None:
    """Return the number of replayed events, or None if nothing is known."""
    seen: list[EventMessage] = []

    async def see(event: EventMessage) -> None:
        seen.append(event)

    return None if await events.replay_events_after(after, see) is None else len(seen)


async def test_events_of_one_principal_do_not_displace_those_of_others() -> None:
    events = InMemoryEventStore(max_bytes=100_000)
    ann, ben = OpenSession("ann"), OpenSession("ben")
    current_session.set(ann)
    first_of_ann = await events.store_event("1", None)
    await events.store_event("1", notification("x" * 1_000))
    current_session.set(ben)
    first_of_ben = await events.store_event("1", None)
    for _ in range(1_000):
        await events.store_event("1", notification("x" * 1_000))
    assert await count_replayed(events, first_of_ben) is None
    current_session.set(ann)
    assert await count_replayed(events, first_of_ann) == 1


async def test_the_number_of_events_of_a_principal_is_limited() -> None:
    events = InMemoryEventStore()
    current_session.set(OpenSession("ann"))
    first = await events.store_event("1", None)
    second = await events.store_event("1", None)
    for _ in range(4_095):
        await events.store_event("1", notification("x"))
    assert await count_replayed(events, first) is None
    assert await count_replayed(events, second) == 4_095


async def test_the_events_of_a_session_are_removed_with_it() -> None:
    events = InMemoryEventStore(max_bytes=10_000)
    ended, going_on = OpenSession("ann"), OpenSession("ann")
    last: dict[OpenSession, str] = {}
    for session in (ended, going_on):
        current_session.set(session)
        last[session] = await events.store_event("1", None)
        await events.store_event("1", notification("x" * 3_000))
    events.forget(ended)
    assert await count_replayed(events, last[going_on]) == 1
    current_session.set(ended)
    assert await count_replayed(events, last[ended]) is None
    current_session.set(going_on)
    await events.store_event("1", notification("x" * 4_000))
    assert await count_replayed(events, last[going_on]) == 2


async def test_the_memory_of_stream_ids_and_wide_characters_counts() -> None:
    store = InMemoryEventStore(max_bytes=1_000_000)
    token = current_session.set(OpenSession("ann"))
    try:
        first = await store.store_event("first", None)
        await store.store_event("x" * 600_000, None)
        assert store._principals["ann"].by_number[int(first)]
        await store.store_event("\U0001f600" + "x" * 120_000, None)
        assert int(first) not in store._principals["ann"].by_number
        assert len(store._principals["ann"].by_number) == 1
    finally:
        current_session.reset(token)


async def test_old_events_of_a_principal_that_has_left_are_removed() -> None:
    now = 0.0
    store = InMemoryEventStore(ttl_seconds=10, clock=lambda: now)
    for who, time in (("ann", 0.0), ("ben", 11.0)):
        now = time
        token = current_session.set(OpenSession(who))
        await store.store_event("1", None)
        current_session.reset(token)
    assert list(store._principals) == ["ben"]
