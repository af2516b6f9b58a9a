"""What one principal may ask for, and what it is told beyond that."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from sightline.server.auth import static_tokens
from sightline.server.http.http_server import listening
from sightline.server.mcp_server.rate_limit import Allowance
from sightline.storage.errors import TooManyCallsError
from tests.server.http.test_http_server import Slow, connected, made, post, text_of


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_what_it_holds_and_then_fills_evenly() -> None:
    clock = Clock()
    allowance = Allowance(per_minute=30, burst=3, clock=clock)
    assert [allowance.take("ann") for _ in range(5)] == [0, 0, 0, 2, 2]
    clock.now += 1.0
    assert allowance.take("ann") == 1
    clock.now += 1.0
    assert allowance.take("ann") == 0
    assert allowance.take("ann") == 2
    clock.now += 1000
    assert [allowance.take("ann") for _ in range(4)] == [0, 0, 0, 2]


def test_one_principal_uses_up_its_own_alone() -> None:
    allowance = Allowance(per_minute=1, burst=1, clock=Clock())
    assert [allowance.take(name) for name in ("ann", "ben", "ann")] == [0, 0, 60]


def test_a_call_is_counted_from_its_beginning_to_its_end_however_that_comes() -> None:
    allowance = Allowance(per_minute=0, burst=1, at_once=1)

    def refused() -> bool:
        try:
            with allowance.one("ann"):
                return False
        except TooManyCallsError as error:
            return "'ann' has 1 calls running" in str(error)

    with allowance.one("ann"), allowance.one("ben"):
        assert refused()
    assert not refused()
    with suppress(ZeroDivisionError), allowance.one("ann"):
        raise ZeroDivisionError
    assert not refused()


def test_names_without_end_are_not_kept() -> None:
    clock = Clock()
    allowance = Allowance(per_minute=60, burst=2, clock=clock)
    for number in range(10_000):
        allowance.take(f"jwt:{number}")
    clock.now += 60
    allowance.take("ann")
    assert len(allowance._buckets) == 1


async def test_beyond_its_calls_a_model_is_told_when_to_try_again(
    tmp_path: Path, database_dsn: str
) -> None:
    (ann, one), (ben, two) = (
        static_tokens.issue("ann", ["read"]),
        static_tokens.issue("ben", ["read"]),
    )
    settings = made(
        tmp_path,
        database_url=database_dsn,
        http_tokens=f"{one} {two}",
        principal_calls_per_minute=1,
        principal_burst_calls=2,
    )
    async with listening(settings) as (url, _):
        async with connected(url, "auto", ann) as client:
            for _ in range(2):
                assert not (await client.call_tool("list_collections", {})).is_error
            refused = await client.call_tool("list_collections", {})
            assert refused.is_error
            assert "'ann' has made its calls of this minute; try again in" in text_of(refused)
        async with connected(url, "auto", ben) as client:
            assert not (await client.call_tool("list_collections", {})).is_error


async def test_only_so_many_calls_of_one_principal_run_at_once(
    tmp_path: Path, database_dsn: str
) -> None:
    secret, kept = static_tokens.issue("ann", ["read", "write"])
    slow = Slow()
    settings = made(
        tmp_path,
        database_url=database_dsn,
        http_tokens=str(kept),
        principal_concurrent_calls=1,
    )
    async with (
        listening(settings, register=(slow.register,)) as (url, _),
        connected(url, "auto", secret) as client,
    ):
        first = asyncio.create_task(client.call_tool("slow", {}))
        await slow.entered.wait()
        refused = await client.call_tool("slow", {})
        assert "'ann' has 1 calls running" in text_of(refused)
        slow.go.set()
        assert text_of(await first) == "done"


async def test_beyond_its_requests_a_client_is_sent_away_for_a_while(tmp_path: Path) -> None:
    (ann, one), (ben, two) = (
        static_tokens.issue("ann", ["read"]),
        static_tokens.issue("ben", ["read"]),
    )
    settings = made(tmp_path, http_tokens=f"{one} {two}", principal_requests_per_minute=10)
    async with listening(settings) as (url, _):
        assert (await post(url, Authorization=f"Bearer {ann}")).status_code == 200
        refused = await post(url, Authorization=f"Bearer {ann}")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 6
        assert (await post(url, Authorization=f"Bearer {ben}")).status_code == 200
        for _ in range(3):  # who is not let in at all has no allowance
            assert (await post(url)).status_code == 401
