"""Tests of the rate and concurrency limits of a principal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

from sightline.server.auth import static_tokens
from sightline.server.http.http_server import start_http_server
from sightline.server.mcp_server.rate_limit import RateLimiter
from sightline.storage.errors import TooManyCallsError
from tests.server.http.test_http_server import SlowTool, connect, post, text_of
from tests.support.settings import make_settings


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_allows_a_burst_and_refills_at_a_constant_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=30, burst=3, clock=clock)
    assert [limiter.acquire("ann") for _ in range(5)] == [0, 0, 0, 2, 2]
    clock.now += 1.0
    assert limiter.acquire("ann") == 1
    clock.now += 1.0
    assert limiter.acquire("ann") == 0
    assert limiter.acquire("ann") == 2
    clock.now += 1000
    assert [limiter.acquire("ann") for _ in range(4)] == [0, 0, 0, 2]


def test_each_principal_has_its_own_bucket() -> None:
    limiter = RateLimiter(per_minute=1, burst=1, clock=Clock())
    assert [limiter.acquire(name) for name in ("ann", "ben", "ann")] == [0, 0, 60]


def test_a_call_counts_as_running_until_it_returns_or_fails() -> None:
    limiter = RateLimiter(per_minute=0, burst=1, max_concurrent=1)

    def refused() -> bool:
        try:
            with limiter.limit("ann"):
                return False
        except TooManyCallsError as error:
            return "'ann' has 1 running calls" in str(error)

    with limiter.limit("ann"), limiter.limit("ben"):
        assert refused()
    assert not refused()
    with suppress(ZeroDivisionError), limiter.limit("ann"):
        raise ZeroDivisionError
    assert not refused()


def test_many_new_principals_do_not_reset_the_limits_of_others() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=60, burst=1, max_concurrent=1, clock=clock)
    with limiter.limit("ann"):
        for number in range(30_000):
            limiter.acquire(f"jwt:{number}")
        assert limiter.acquire("jwt:0") == 1
        clock.now += 60
        with (
            pytest.raises(TooManyCallsError, match="'ann' has 1 running calls"),
            limiter.limit("ann"),
        ):
            pass
    with limiter.limit("ann"):
        pass


def test_idle_principals_are_forgotten() -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute=60, burst=2, clock=clock)
    for number in range(1000):
        limiter.acquire(f"jwt:{number}")
    clock.now += 1
    limiter.acquire("ann")
    assert list(limiter._buckets) == ["ann"]


async def test_a_call_above_the_rate_limit_says_when_to_try_again(
    tmp_path: Path, database_dsn: str
) -> None:
    (ann, one), (ben, two) = (
        static_tokens.issue_token("ann", ["read"]),
        static_tokens.issue_token("ben", ["read"]),
    )
    settings = make_settings(
        tmp_path,
        database__url=database_dsn,
        tokens=f"{one}\n{two}",
        rate_limit__max_calls_per_minute=10,
    )
    async with start_http_server(settings) as (url, _):
        async with connect(url, "auto", ann) as client:
            for _ in range(2):
                assert not (await client.call_tool("list_collections", {})).is_error
            refused = await client.call_tool("list_collections", {})
            assert refused.is_error
            assert "'ann' has reached its rate limit; try again in" in text_of(refused)
        async with connect(url, "auto", ben) as client:
            assert not (await client.call_tool("list_collections", {})).is_error


async def test_the_running_calls_of_a_principal_are_limited(
    tmp_path: Path, database_dsn: str
) -> None:
    secret, stored = static_tokens.issue_token("ann", ["read", "write"])
    slow = SlowTool()
    settings = make_settings(
        tmp_path,
        database__url=database_dsn,
        tokens=str(stored),
        rate_limit__max_concurrent_calls=1,
    )
    async with (
        start_http_server(settings, register=(slow.register,)) as (url, _),
        connect(url, "auto", secret) as client,
    ):
        first = asyncio.create_task(client.call_tool("slow", {}))
        await slow.entered.wait()
        refused = await client.call_tool("slow", {})
        assert "'ann' has 1 running calls" in text_of(refused)
        slow.go.set()
        assert text_of(await first) == "done"


async def test_resources_count_as_running_calls(tmp_path: Path, database_dsn: str) -> None:
    secret, stored = static_tokens.issue_token("ann", ["read"])
    entered, go = asyncio.Event(), asyncio.Event()

    def register(mcp: MCPServer) -> None:
        @mcp.resource("sightline://slow")
        async def slow() -> str:
            entered.set()
            await go.wait()
            return "done"

    settings = make_settings(
        tmp_path,
        database__url=database_dsn,
        tokens=str(stored),
        rate_limit__max_concurrent_calls=1,
    )
    async with (
        start_http_server(settings, register=(register,)) as (url, _),
        connect(url, "auto", secret) as client,
    ):
        first = asyncio.create_task(client.read_resource("sightline://slow"))
        await entered.wait()
        with pytest.raises(MCPError, match="'ann' has 1 running calls"):
            await client.read_resource("sightline://slow")
        go.set()
        assert "done" in str(await first)


async def test_requests_above_the_limit_get_429_with_retry_after(tmp_path: Path) -> None:
    (ann, one), (ben, two) = (
        static_tokens.issue_token("ann", ["read"]),
        static_tokens.issue_token("ben", ["read"]),
    )
    settings = make_settings(tmp_path, tokens=f"{one}\n{two}", rate_limit__max_calls_per_minute=1)
    async with start_http_server(settings) as (url, _):
        assert (await post(url, Authorization=f"Bearer {ann}")).status_code == 200
        refused = await post(url, Authorization=f"Bearer {ann}")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 15
        assert (await post(url, Authorization=f"Bearer {ben}")).status_code == 200
        for _ in range(3):  # unauthenticated requests are not rate limited
            assert (await post(url)).status_code == 401
