"""Tests of the readiness probe."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sightline.server.http.monitoring.health_routes import ReadinessProbe


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Database:
    """Counts probes; each waits until ``go`` is set."""

    def __init__(self) -> None:
        self.probes = 0
        self.go = asyncio.Event()

    async def probe(self) -> dict[str, Any]:
        self.probes += 1
        await self.go.wait()
        return {"ready": True, "number": self.probes}


async def test_concurrent_requests_share_one_probe() -> None:
    database = Database()
    readiness = ReadinessProbe(database.probe, Clock())
    waiting = [asyncio.create_task(readiness.result()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    database.go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [{"ready": True, "number": 1}] * 19


async def test_a_result_is_repeated_for_one_second() -> None:
    clock, database = Clock(), Database()
    database.go.set()
    readiness = ReadinessProbe(database.probe, clock)
    for seconds, number in ((0, 1), (0.9, 1), (0.2, 2), (0.9, 2)):
        clock.now += seconds
        assert (await readiness.result())["number"] == number


async def test_a_failed_probe_is_not_repeated_for_one_second() -> None:
    clock, probes = Clock(), 0

    async def fail() -> dict[str, Any]:
        nonlocal probes
        probes += 1
        raise ZeroDivisionError

    readiness = ReadinessProbe(fail, clock)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await readiness.result()
    assert probes == 1
