"""Tests of resources that open in the background."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sightline.server.lazy_resource import (
    LazyResource,
    is_patient,
    on_wait,
    open_in_thread,
    run_in_daemon_thread,
)
from sightline.storage.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    ModelUnavailableError,
    SchemaError,
)


class Door:
    """A resource that waits for ``unlocked`` and raises the given errors first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.unlocked = asyncio.Event()
        self.attempts = 0
        self.closed = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        self.attempts += 1
        await self.unlocked.wait()
        if self.errors:
            raise self.errors.pop(0)
        yield "open"
        self.closed += 1


def lazy(door: Door, timeout_seconds: float = 30.0, **options: object) -> LazyResource[str]:
    return LazyResource(
        "the door",
        door.open,
        timeout_seconds=timeout_seconds,
        error_type=DatabaseUnavailableError,
        retry_on=(DatabaseUnavailableError,),
        **options,
    )


async def test_a_call_waits_until_the_resource_is_open() -> None:
    door = Door()
    async with lazy(door) as resource:
        waiting = asyncio.create_task(resource.get())
        await asyncio.sleep(0)
        assert resource.state == "loading"
        door.unlocked.set()
        assert await waiting == await resource.get() == "open"
        assert resource.state == "ready"
        assert door.closed == 0
    assert (door.attempts, door.closed) == (1, 1)


async def test_a_call_waits_no_longer_than_the_timeout_and_says_to_try_again() -> None:
    async with lazy(Door(), timeout_seconds=0.01) as resource:
        with pytest.raises(DatabaseUnavailableError, match=r"still loading .* try again"):
            await resource.get()


async def test_a_call_of_a_person_waits_longer_than_the_timeout() -> None:
    door = Door()
    async with lazy(door, timeout_seconds=1e-9) as resource:
        is_patient.set(True)
        waiting = asyncio.create_task(resource.get())
        is_patient.set(False)
        with pytest.raises(DatabaseUnavailableError, match="still loading"):
            await resource.get()
        door.unlocked.set()
        assert await waiting == "open"


async def test_a_call_starts_a_delayed_opening() -> None:
    door = Door()
    door.unlocked.set()
    async with lazy(door, delay_seconds=3600) as resource:
        await asyncio.sleep(0)
        assert door.attempts == 0
        assert await resource.get() == "open"


async def test_a_waiting_call_reports_progress() -> None:
    door, reports = Door(), []

    async def report(message: str) -> None:
        reports.append(message)
        door.unlocked.set()

    async with lazy(door) as resource:
        on_wait.set(report)
        assert await resource.get() == "open"
    assert reports == ["the door is loading, 0 s so far"]


async def test_a_temporary_error_is_retried_and_reported_at_once() -> None:
    door = Door(DatabaseUnavailableError("nobody home"))
    async with lazy(door) as resource:
        door.unlocked.set()
        with pytest.raises(DatabaseUnavailableError, match="nobody home"):
            await resource.get()
        assert resource.state == "failed"
        await resource.settled.wait()
        assert resource.state == "ready"
        assert await resource.get() == "open"
    assert (door.attempts, door.closed) == (2, 1)


async def test_another_error_is_final_and_reported_to_every_caller() -> None:
    failures: list[Exception] = []
    door = Door(SchemaError("at 0001, needs 0002"))
    async with lazy(door, on_failure=failures.append) as resource:
        door.unlocked.set()
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError, match="at 0001, needs 0002"):
                await resource.get()
        await resource.settled.wait()
    assert (door.attempts, door.closed) == (1, 0)
    assert [type(error) for error in failures] == [SchemaError]


async def test_the_text_of_an_unexpected_error_is_only_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door(ValueError("the key lies at home"))
    async with lazy(door) as resource:
        door.unlocked.set()
        with pytest.raises(DatabaseUnavailableError, match=r"\(ValueError\); the log of the se"):
            await resource.get()
    assert "the key lies at home" in caplog.text


async def test_closing_stops_an_unfinished_opening() -> None:
    door = Door()
    async with lazy(door) as resource:
        await asyncio.sleep(0)
        assert door.attempts == 1
    assert resource.value is None
    await resource.__aexit__()
    assert door.closed == 0


async def test_a_thread_returns_its_result_or_raises_its_error() -> None:
    discarded: list[int] = []
    assert await run_in_daemon_thread(lambda: 7, discard=discarded.append) == 7

    def fail() -> int:
        raise ConfigurationError("no such encoder")

    with pytest.raises(ConfigurationError, match="no such encoder"):
        await run_in_daemon_thread(fail, discard=discarded.append)
    assert discarded == []


async def test_the_result_of_a_cancelled_call_is_discarded() -> None:
    release, discarded = threading.Event(), threading.Event()

    def work() -> int:
        release.wait(30)
        return 7

    task = asyncio.create_task(run_in_daemon_thread(work, discard=lambda _: discarded.set()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    assert await asyncio.to_thread(discarded.wait, 30)


class Model:
    """A model that counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


async def test_a_model_is_loaded_in_a_thread_and_closed_at_the_end() -> None:
    model, threads = Model(), []

    def load() -> Model:
        threads.append(threading.current_thread())
        return model

    resource = LazyResource(
        "the model",
        lambda: open_in_thread(load),
        timeout_seconds=30,
        error_type=ModelUnavailableError,
    )
    async with resource:
        assert await resource.get() is model
        assert model.closed == 0
    assert model.closed == 1
    assert threads != [threading.current_thread()]


async def test_a_model_that_cannot_be_loaded_says_why_to_the_operator_only() -> None:
    def load() -> Model:
        raise ConfigurationError("the encoder folder '/nowhere' has no weights")

    resource = LazyResource(
        "the encoder",
        lambda: open_in_thread(load),
        timeout_seconds=30,
        error_type=ModelUnavailableError,
    )
    async with resource:
        for _ in range(2):
            with pytest.raises(ModelUnavailableError, match="could not be opened") as caught:
                await resource.get()
            assert "/nowhere" not in str(caught.value)
            assert caught.value.details == "the encoder folder '/nowhere' has no weights"


# Threads that import at once would take turns every few milliseconds, for seconds.
_IMPORT_IN_THREADS = """
import sys, threading
from functools import partial
from sightline.server import search_loading
from sightline.server.database import provider
from sightline.storage.ingest.decode.worker.passages import split_text

class ThreadRecorder:
    threads = []

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("alembic", "llama_index", "sqlalchemy"):
            self.threads.append(threading.get_ident())

sys.meta_path.insert(0, ThreadRecorder())
start = threading.Barrier(3)

def check_database():
    try:
        provider._require_head("host=/nowhere")
    except Exception as error:
        assert "cannot be reached" in str(error), error

def run(function):
    start.wait()
    function()

def split():
    list(split_text("A red van. " * 30, 64, 8))

functions = [partial(search_loading._import_search_types, True), check_database, split]
threads = [threading.Thread(target=run, args=[function]) for function in functions]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
recorded = ThreadRecorder.threads
print(sum(a != b for a, b in zip(recorded, recorded[1:])), len(recorded))
"""


def test_search_database_and_splitter_are_imported_one_after_the_other(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _IMPORT_IN_THREADS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert not process.stderr
    switches, imports = map(int, process.stdout.split())
    assert switches <= 2
    assert imports > 100
