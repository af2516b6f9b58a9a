import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.decode_queue import DecodeQueue
from sightline.storage.ingest.decode.worker.worker_protocol import DecodeRequest, JobPart
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool, no_preprocess
from sightline.storage.ingest.decode.worker_slots import WorkerLease, WorkerSlots
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.processes import is_running
from tests.support.sample_images import jpeg

LIMITS = IngestOptions(worker_memory_mib=2048)


def configuration_of(limits: IngestOptions = LIMITS) -> bytes:
    return WorkerPool(no_preprocess, limits)._configuration


def pid_of(lease: WorkerLease) -> int:
    pid = lease.process._transport.get_pid()
    assert pid is not None
    return pid


async def use(slots: WorkerSlots, principal: str | None, limits: IngestOptions = LIMITS) -> int:
    """Take a turn that ends well; return the process id of its worker."""
    async with slots.lease(principal, configuration_of(limits)) as lease:
        lease.is_lost = False
        return pid_of(lease)


async def test_a_process_serves_one_principal_with_one_configuration() -> None:
    slots = WorkerSlots(4)
    first = await use(slots, "alice")
    assert await use(slots, "alice") == first
    assert await use(slots, "bob") != first
    assert await use(slots, "alice", replace(LIMITS, max_pages=5)) != first
    assert await use(slots, "alice") == first
    await slots.close()
    assert not is_running(first)


async def test_there_are_never_more_processes_than_slots() -> None:
    slots = WorkerSlots(2)
    pids = [await use(slots, each) for each in ("alice", "bob", "carol")]
    await asyncio.gather(*slots._ending)
    assert [is_running(pid) for pid in pids] == [False, True, True]
    await slots.close()


async def test_an_idle_process_ends() -> None:
    slots = WorkerSlots(2, idle_seconds=0)
    pid = await use(slots, "alice")
    asyncio.get_running_loop().call_later(0, (ended := asyncio.Event()).set)
    await ended.wait()  # the timer of the process is before this one
    await asyncio.gather(*slots._ending)
    assert not is_running(pid)


async def test_a_process_that_died_while_idle_is_not_used() -> None:
    slots = WorkerSlots(1)
    async with slots.lease(None, configuration_of()) as lease:
        lease.is_lost = False
    lease.process.stop()
    await lease.process._process.wait()
    assert is_running(await use(slots, None))
    await slots.close()


async def test_a_cancelled_turn_kills_its_process_and_frees_its_slot() -> None:
    slots = WorkerSlots(1)
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hang() -> None:
        async with slots.lease("alice", configuration_of()) as lease:
            started.set_result(pid_of(lease))
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    pid = await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await use(slots, "bob") != pid
    await slots.close()
    assert not is_running(pid)


async def test_one_principal_leaves_a_slot_for_another() -> None:
    slots = WorkerSlots(3)
    release, holding = asyncio.Event(), asyncio.Semaphore(0)
    held: list[str] = []

    async def hold(principal: str) -> None:
        async with slots.lease(principal, configuration_of()):
            held.append(principal)
            holding.release()
            await release.wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(hold("alice"))
        await holding.acquire()
        await holding.acquire()
        await use(slots, "bob")
        assert held == ["alice", "alice"]
        release.set()
    assert len(held) == 5
    await slots.close()


def jobs_of(name: str, count: int, order: list[str]) -> Callable[[], Awaitable[list[Job]]]:
    """Return a source of jobs, one in each turn; each adds ``name`` when it is done."""

    async def on_part(_: JobPart) -> None:
        pass

    async def on_done() -> None:
        order.append(name)

    async def on_failed(error: MediaError) -> None:
        raise AssertionError(error)

    job = Job(DecodeRequest("a.jpg", data=jpeg(1)), on_part, on_done, on_failed)
    waiting = [job] * count

    async def take() -> list[Job]:
        return [waiting.pop()] if waiting else []

    return take


async def test_principals_take_turns_whatever_one_has_queued() -> None:
    slots = WorkerSlots(1)
    order: list[str] = []
    pools = {name: WorkerPool(no_preprocess, LIMITS, slots=slots, principal=name) for name in "ab"}
    async with asyncio.TaskGroup() as tasks:
        for name, calls in (("a", 4), ("b", 1)):
            for _ in range(calls):
                tasks.create_task(pools[name].run(jobs_of(name, 3, order)))
    assert len(order) == 4 * 3 + 3
    assert order[:7].count("b") == 3
    await slots.close()


async def test_documents_are_alone_in_their_turn() -> None:
    queue = DecodeQueue(max_decode_jobs=10)

    async def nothing(*_: object) -> None:
        pass

    for name in ("a.jpg", "b.jpg", "c.pdf", "d.mp4", "e.jpg"):
        await queue.put_decode(Job(DecodeRequest(name), nothing, nothing, nothing))
    await queue.close()
    turns = []
    while jobs := await queue.take():
        turns.append([each.request.name for each in jobs])  # type: ignore[union-attr]
    assert turns == [["a.jpg", "b.jpg"], ["c.pdf"], ["d.mp4"], ["e.jpg"]]
