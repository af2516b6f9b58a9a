"""Images of calls are decoded in processes that may crash."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from sightline.storage.errors import ConfigurationError, MediaError
from sightline.storage.ingest.decode import worker_pool
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from tests.support.sample_images import encoded, exif, jpeg, picture


@asynccontextmanager
async def decoder(**changes: float) -> AsyncIterator[ImageDecoder]:
    arguments = {
        "max_pixels": 10_000,
        "memory_mib": 2048,
        "timeout_seconds": 60,
        "workers": 2,
        **changes,
    }
    decoder = ImageDecoder(**arguments)  # type: ignore[arg-type]
    try:
        yield decoder
    finally:
        await decoder.close()


def children() -> list[int]:
    text = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return [int(each) for each in text.split()]


async def test_an_image_is_loaded_upright_and_without_metadata() -> None:
    turned = encoded(picture(1), "PNG", exif=exif(taken="2026:05:01 16:40:00", orientation=6))
    async with decoder() as opens:
        loaded, reduced = await asyncio.gather(opens.load(turned), opens.load(turned, max_edge=8))
    image = loaded.image
    expected = picture(1).transpose(Image.Transpose.ROTATE_270)
    assert (image.mode, image.size, image.info) == ("RGB", expected.size, {})
    assert image.tobytes() == expected.tobytes()
    assert max(reduced.image.size) == 8
    assert reduced.source_size == loaded.source_size == expected.size


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not_an_image"),
        (b"%!PS\n", "not_an_image"),
        (encoded(picture(1, (200, 100)), "PNG"), "too_many_pixels"),
        (jpeg(1)[:-200], "broken"),
    ],
)
async def test_an_invalid_image_is_an_error_and_the_next_one_loads(data: bytes, code: str) -> None:
    async with decoder(workers=1) as opens:
        with pytest.raises(MediaError) as raised:
            await opens.load(data)
        assert (await opens.load(jpeg(1))).source_size == picture(1).size
    assert raised.value.code == code


async def test_a_killed_process_fails_one_call() -> None:
    async with decoder(workers=1) as opens:
        await opens.load(jpeg(1))
        (process,) = children()
        os.kill(process, signal.SIGSTOP)  # so that the call is in its hands when it dies
        call = asyncio.create_task(opens.load(jpeg(2)))
        await asyncio.sleep(0)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(MediaError, match="crashed its decoder process"):
            await call
        assert (await opens.load(jpeg(3))).source_size == picture(3).size
    assert children() == []


async def test_an_image_that_takes_too_long_fails_one_call() -> None:
    async with decoder(workers=1, timeout_seconds=5.0) as opens:
        await opens.load(jpeg(1))
        (process,) = children()
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(MediaError, match="took longer than 5 s"):
            await opens.load(jpeg(2))
        assert (await opens.load(jpeg(3))).source_size == picture(3).size


async def test_no_more_processes_than_needed_are_started() -> None:
    async with decoder(workers=2) as opens:
        for number in range(3):
            await opens.load(jpeg(number))
        assert len(children()) == 1
        await asyncio.gather(*(opens.load(jpeg(number)) for number in range(9)))
        assert len(children()) == 2


async def test_a_process_that_does_not_start_fails_every_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with decoder(workers=1) as opens:
        monkeypatch.setattr(worker_pool.sys, "executable", "/bin/false")
        calls = [opens.load(jpeg(number)) for number in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {ConfigurationError}
        monkeypatch.undo()
        assert (await opens.load(jpeg(1))).source_size == picture(1).size
