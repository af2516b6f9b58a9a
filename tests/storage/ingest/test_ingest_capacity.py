"""An ingest that need not wait, or may not, does not say that it waits."""

from __future__ import annotations

import asyncio

import pytest

from sightline.storage.errors import ModelOverloadedError
from sightline.storage.ingest import ingest_capacity
from sightline.storage.ingest.ingest_capacity import MAX_INGESTS_PER_PRINCIPAL, IngestCapacity
from sightline.storage.ingest.ingest_options import IngestOptions


async def test_only_an_ingest_that_waits_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_capacity, "_MAX_WAITING_INGESTS", 1)
    capacity = IngestCapacity(IngestOptions(workers=1))
    end, reports = asyncio.Event(), list[str]()

    async def ingest(name: str) -> None:
        async with capacity.admit("alice", lambda: reports.append(name)):
            await end.wait()

    running = [asyncio.create_task(ingest(f"runs {n}")) for n in range(MAX_INGESTS_PER_PRINCIPAL)]
    await asyncio.sleep(0)
    waiting = asyncio.create_task(ingest("waits"))
    await asyncio.sleep(0)
    with pytest.raises(ModelOverloadedError):
        await ingest("is refused")
    await asyncio.sleep(0.01)
    assert reports == ["waits"]
    end.set()
    await asyncio.gather(*running, waiting)
    await capacity.close()
