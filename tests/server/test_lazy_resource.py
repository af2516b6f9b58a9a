"""What takes seconds opens beside the calls that wait for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sightline.server.lazy_resource import Background, in_daemon_thread, on_wait
from sightline.storage.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    ModelUnavailableError,
    SchemaError,
)


class Door:
    """Opens when it is told to, fails as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.unlocked = asyncio.Event()
        self.tries = 0

    async def open(self) -> str:
        self.tries += 1
        await self.unlocked.wait()
        if self.errors:
            raise self.errors.pop(0)
        return "open"


def opening(door: Door, wait_seconds: float = 30.0, **options: object) -> Background[str]:
    return Background(
        "the door",
        door.open,
        wait_seconds=wait_seconds,
        unavailable=DatabaseUnavailableError,
        retried=(DatabaseUnavailableError,),
        **options,
    )


async def test_a_call_waits_until_it_is_open() -> None:
    door = Door()
    async with opening(door) as background:
        waiting = asyncio.create_task(background.get())
        await asyncio.sleep(0)
        assert background.state == "loading"
        door.unlocked.set()
        assert await waiting == await background.get() == "open"
        assert background.state == "ready"
        assert door.tries == 1


async def test_a_call_waits_no_longer_than_it_should_and_says_to_try_again() -> None:
    async with opening(Door(), wait_seconds=0.01) as background:
        with pytest.raises(DatabaseUnavailableError, match=r"still loading .* try again"):
            await background.get()


async def test_a_waiting_call_tells_its_client() -> None:
    door, told = Door(), []

    async def tell(message: str) -> None:
        told.append(message)
        door.unlocked.set()

    async with opening(door) as background:
        on_wait.set(tell)
        assert await background.get() == "open"
    assert told == ["the door is loading, 0 s so far"]


async def test_what_may_heal_is_tried_again_and_callers_hear_the_reason_at_once() -> None:
    door = Door(DatabaseUnavailableError("nobody home"))
    async with opening(door) as background:
        door.unlocked.set()
        with pytest.raises(DatabaseUnavailableError, match="nobody home"):
            await background.get()
        assert background.state == "failed"
        await background.opened.wait()
        assert background.state == "ready"
        assert await background.get() == "open"
    assert door.tries == 2


async def test_what_cannot_heal_is_final_and_reported_with_its_reason() -> None:
    final: list[Exception] = []
    door = Door(SchemaError("at 0001, needs 0002"))
    async with opening(door, on_final=final.append) as background:
        door.unlocked.set()
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError, match="at 0001, needs 0002"):
                await background.get()
    assert door.tries == 1
    assert [type(error) for error in final] == [SchemaError]


async def test_an_error_that_nobody_named_keeps_its_text_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door(ValueError("password=hunter2"))
    async with opening(door) as background:
        door.unlocked.set()
        with pytest.raises(DatabaseUnavailableError, match=r"\(ValueError\); the server's log"):
            await background.get()
    assert "hunter2" in caplog.text


async def test_closing_stops_what_is_still_opening() -> None:
    background = opening(Door()).start()
    await asyncio.sleep(0)
    await background.close()
    await background.close()


async def test_work_in_a_thread_gives_its_result_or_its_error() -> None:
    discarded: list[int] = []
    assert await in_daemon_thread(lambda: 7, discard=discarded.append) == 7

    def fail() -> int:
        raise ConfigurationError("no such encoder")

    with pytest.raises(ConfigurationError, match="no such encoder"):
        await in_daemon_thread(fail, discard=discarded.append)
    assert discarded == []


async def test_a_result_that_nobody_awaits_any_more_is_discarded() -> None:
    go, gone = threading.Event(), asyncio.Event()

    def work() -> int:
        go.wait(30)
        return 7

    task = asyncio.create_task(in_daemon_thread(work, discard=lambda _: gone.set()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await asyncio.wait_for(gone.wait(), 30)


async def test_an_encoder_that_cannot_be_loaded_says_why_to_every_caller() -> None:
    from sightline.server.models.image_text.image_text_encoder import Encoder
    from sightline.server.models.image_text.lazy_encoder import BackgroundEncoder

    def load() -> Encoder:
        raise ConfigurationError("the encoder folder '/nowhere' has no weights")

    encoder = BackgroundEncoder(load, name="local-dir:/nowhere", wait_seconds=30)
    with pytest.raises(ModelUnavailableError, match="still loading"):
        _ = encoder.identity
    encoder.start()
    for call in (encoder.encode_texts(["a"]), encoder.get()):
        with pytest.raises(ModelUnavailableError, match="has no weights"):
            await call
    with pytest.raises(ModelUnavailableError, match="has no weights"):
        _ = encoder.preprocess
    await encoder.close()
