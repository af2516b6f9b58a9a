from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.server.models.batcher import Batcher
from sightline.storage.errors import ModelOverloadedError, ModelUnavailableError
from sightline.storage.interfaces import Vectors


class Model:
    """Returns its inputs as vectors; can be paused; fails on negative numbers."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()

    def __call__(self, items: Sequence[float]) -> Vectors:
        self.batches.append(list(items))
        self.entered.release()
        assert self.free.wait(30)
        if any(item < 0 for item in items):
            msg = f"cannot take {min(items)}"
            raise ValueError(msg)
        return np.array([[item] for item in items], np.float32)


@contextmanager
def batching(
    model: Model, max_batch_items: int = 4, max_queue_items: int = 100
) -> Iterator[Batcher]:
    batcher = Batcher(
        {"image": model, "text": model},
        max_batch_items=max_batch_items,
        max_queue_items=max_queue_items,
        name="the test's model",
    )
    try:
        yield batcher
    finally:
        model.free.set()
        batcher.close()


@asynccontextmanager
async def busy(model: Model, batcher: Batcher) -> AsyncIterator[None]:
    """Keep the model busy with one batch inside the block."""
    model.free.clear()
    first = asyncio.create_task(batcher.submit("image", [0.0]))
    await asyncio.to_thread(model.entered.acquire)
    try:
        yield
    finally:
        model.free.set()
        await first


async def submit_all(
    batcher: Batcher, *calls: tuple[str, list[float]]
) -> list[asyncio.Task[Vectors]]:
    """Submit the calls and return when all are in the queue, in this order."""
    tasks = []
    for kind, items in calls:
        tasks.append(asyncio.create_task(batcher.submit(kind, items)))
        await asyncio.sleep(0)  # the task runs until it waits
    return tasks


async def test_a_single_call_runs_at_once() -> None:
    model = Model()
    with batching(model) as batcher:
        assert (await batcher.submit("image", [1.0])).tolist() == [[1.0]]
    assert model.batches == [[1.0]]


async def test_calls_that_wait_for_a_busy_model_share_the_next_batch() -> None:
    model = Model()
    with batching(model) as batcher:
        async with busy(model, batcher):
            tasks = await submit_all(batcher, *(("image", [float(n)]) for n in range(1, 7)))
        results = await asyncio.gather(*tasks)
    assert [rows.tolist() for rows in results] == [[[float(n)]] for n in range(1, 7)]
    assert model.batches == [[0.0], [1.0, 2.0, 3.0, 4.0], [5.0, 6.0]]


async def test_a_call_larger_than_a_batch_is_split_and_keeps_its_order() -> None:
    model = Model()
    items = [float(n) for n in range(11)]
    with batching(model, max_batch_items=4) as batcher:
        rows = await batcher.submit("image", items)
    assert rows[:, 0].tolist() == items
    assert [len(batch) for batch in model.batches] == [4, 4, 3]


async def test_kinds_take_turns_so_that_a_query_waits_for_one_batch_of_an_ingest() -> None:
    model = Model()
    with batching(model, max_batch_items=2) as batcher:
        async with busy(model, batcher):
            tasks = await submit_all(batcher, ("image", [1.0] * 6), ("text", [9.0]))
        await asyncio.gather(*tasks)
    assert model.batches.index([9.0]) == 1


async def test_a_full_queue_rejects_calls_at_once() -> None:
    model = Model()
    with batching(model, max_queue_items=3) as batcher:
        async with busy(model, batcher):
            tasks = await submit_all(batcher, ("image", [1.0, 2.0]))
            assert batcher.queued_items == 2
            with pytest.raises(ModelOverloadedError, match=r"2 of your items already wait"):
                await batcher.submit("text", [3.0, 4.0])
        await asyncio.gather(*tasks)
    assert [3.0, 4.0] not in model.batches


async def test_a_call_larger_than_the_queue_runs_when_nothing_waits() -> None:
    with batching(Model(), max_queue_items=2) as batcher:
        assert len(await batcher.submit("image", [1.0] * 9)) == 9


async def test_a_waiting_call_that_is_cancelled_uses_no_model_time() -> None:
    model = Model()
    with batching(model) as batcher:
        async with busy(model, batcher):
            cancelled, other = await submit_all(batcher, ("image", [1.0]), ("image", [2.0]))
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        assert (await other).tolist() == [[2.0]]
    assert model.batches == [[0.0], [2.0]]


async def test_a_running_call_that_is_cancelled_does_not_affect_others() -> None:
    model = Model()
    with batching(model) as batcher:
        async with busy(model, batcher):
            pass
        model.free.clear()
        cancelled, other = await submit_all(batcher, ("image", [1.0]), ("image", [2.0]))
        await asyncio.to_thread(model.entered.acquire)
        cancelled.cancel()
        model.free.set()
        assert (await other).tolist() == [[2.0]]
        assert (await batcher.submit("text", [3.0])).tolist() == [[3.0]]


async def test_an_error_reaches_only_the_call_that_caused_it() -> None:
    model = Model()
    with batching(model) as batcher:
        async with busy(model, batcher):
            good, bad, also_good = await submit_all(
                batcher, ("image", [1.0]), ("image", [-2.0]), ("image", [3.0])
            )
        results = await asyncio.gather(good, bad, also_good, return_exceptions=True)
    assert isinstance(results[1], ValueError)
    assert str(results[1]) == "cannot take -2.0"
    assert [results[0].tolist(), results[2].tolist()] == [[[1.0]], [[3.0]]]


async def test_a_call_that_failed_in_its_first_batch_runs_no_second_batch() -> None:
    model = Model()
    with batching(model, max_batch_items=2) as batcher:
        with pytest.raises(ValueError, match="cannot take"):
            await batcher.submit("image", [-1.0, 1.0, 2.0, 3.0])
        assert (await batcher.submit("image", [5.0])).tolist() == [[5.0]]
    assert model.batches == [[-1.0, 1.0], [5.0]]


async def test_close_rejects_waiting_and_new_calls() -> None:
    model = Model()
    with batching(model) as batcher:
        model.free.clear()
        runs = asyncio.create_task(batcher.submit("image", [1.0]))
        await asyncio.to_thread(model.entered.acquire)
        (waits,) = await submit_all(batcher, ("text", [2.0]))
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        while not batcher._closed:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        model.free.set()
        await closing
        assert (await runs).tolist() == [[1.0]]
        with pytest.raises(ModelUnavailableError, match="shutting down"):
            await waits
        with pytest.raises(ModelUnavailableError, match="shutting down"):
            await batcher.submit("image", [1.0])


async def test_a_model_that_returns_too_few_rows_is_an_error() -> None:
    batcher = Batcher(
        {"text": lambda items: np.zeros((len(items) - 1, 1), np.float32)},
        max_batch_items=8,
        max_queue_items=8,
        name="short",
    )
    with pytest.raises(RuntimeError, match="short returned 1 vectors for 2 items"):
        await batcher.submit("text", [1.0, 2.0])
    batcher.close()


async def test_the_observer_is_called_for_every_batch() -> None:
    observed: list[tuple[str, int, bool]] = []
    batcher = Batcher(
        {"text": lambda items: np.zeros((len(items), 1), np.float32)},
        max_batch_items=2,
        max_queue_items=8,
        name="observed",
        observer=lambda kind, items, seconds: observed.append((kind, items, seconds >= 0)),
    )
    await batcher.submit("text", [1.0, 2.0, 3.0])
    batcher.close()
    assert observed == [("text", 2, True), ("text", 1, True)]


@settings(max_examples=60, deadline=None)
@given(
    calls=st.lists(
        st.tuples(st.sampled_from(["image", "text"]), st.integers(1, 9), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    max_batch_items=st.integers(1, 8),
)
def test_every_call_gets_its_own_rows_in_its_own_order(
    calls: list[tuple[str, int, bool]], max_batch_items: int
) -> None:
    async def run() -> None:
        model = Model()
        with batching(model, max_batch_items, max_queue_items=1000) as batcher:
            async with busy(model, batcher):
                inputs = [
                    [float(100 * index + n) for n in range(size)] + ([-1.0] if fails else [])
                    for index, (_, size, fails) in enumerate(calls)
                ]
                tasks = await submit_all(
                    batcher,
                    *((kind, items) for (kind, *_), items in zip(calls, inputs, strict=True)),
                )
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for (_, _, fails), items, result in zip(calls, inputs, results, strict=True):
            if fails:
                assert isinstance(result, ValueError)
            else:
                assert isinstance(result, np.ndarray)
                assert result[:, 0].tolist() == items
        assert max(len(batch) for batch in model.batches) <= max_batch_items

    asyncio.run(run())


async def test_callers_of_a_hanging_model_get_an_error_until_it_continues() -> None:
    model = Model()
    model.free.clear()
    batcher = Batcher(
        {"text": model},
        max_batch_items=4,
        max_queue_items=9,
        name="the test's model",
        stuck_seconds=0.05,
    )
    try:
        for _ in range(2):  # the second call finds it stuck and does not wait
            with pytest.raises(ModelUnavailableError, match=r"stuck in one batch for .* Restart"):
                await batcher.submit("text", [1.0])
        assert batcher.queued_items == 0
        model.free.set()
        while True:
            with suppress(ModelUnavailableError):
                assert (await batcher.submit("text", [2.0])).tolist() == [[2.0]]
                break
    finally:
        model.free.set()
        batcher.close()
