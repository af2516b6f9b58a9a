"""Images of calls are decoded in processes that may crash."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.storage.blobs import BlobStore
from sightline.storage.errors import ConfigurationError, MediaError, ModelOverloadedError
from sightline.storage.ingest.decode import worker_pool
from sightline.storage.ingest.decode.image_decoder import DocumentPage, ImageDecoder
from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.storage.ingest.decode.worker.worker_protocol import BlobSource
from tests.support.dicom_files import dicom
from tests.support.media import pdf
from tests.support.picture_files import heic, jxl, psd, shows_three_colors, three_colors
from tests.support.raw_dng import dng
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
        (b"%!PS\n", "unsupported"),
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


async def test_every_format_is_read_within_the_limits_of_a_worker(tmp_path: Path) -> None:
    image = three_colors()
    files = {
        "a.avif": encoded(image, "AVIF"),
        "a.dcm": dicom(np.asarray(image)),
        "a.dng": dng(),
        "a.heic": heic(image),
        "a.ico": encoded(image, "ICO"),
        "a.jp2": encoded(image, "JPEG2000"),
        "a.jxl": jxl(image),
        "a.psd": psd(image),
        "a.svg": b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><text>x</text></svg>",
        "a.tga": encoded(image, "TGA"),
    }
    async with decoder(workers=1, max_pixels=1_000_000) as opens:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            loaded = await opens.load(str(tmp_path / name))
            assert name == "a.svg" or shows_three_colors(loaded.image, 60), name


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


async def test_a_part_is_loaded_at_the_needed_size() -> None:
    data = encoded(picture(1, (96, 64)), "PNG")
    async with decoder() as opens:
        part = await opens.load(data, crop=(0.5, 0.0, 1.0, 0.5), max_edge=24)
    assert part.source_size == (96, 64)
    assert part.image.size == (24, 16)
    assert part.image.getpixel((12, 8)) == picture(1, (96, 64)).getpixel((72, 16))


async def test_an_image_is_drawn_on_and_encoded_in_the_worker() -> None:
    async with decoder(workers=1) as opens:
        drawn = await opens.render(
            encoded(picture(1), "PNG"),
            max_edge=24,
            max_bytes=10_000,
            overlays=[BoxOverlay((0.1, 0.1, 0.9, 0.9), "van")],
        )
        with pytest.raises(MediaError, match="does not fit in 10 bytes"):
            await opens.render(jpeg(1), max_edge=24, max_bytes=10)
    image = Image.open(io.BytesIO(drawn.data))
    assert image.format == "JPEG"
    assert image.size == (drawn.width, drawn.height) == (24, 16)


def stored_page(store: BlobStore, data: bytes) -> DocumentPage:
    source = BlobSource(
        str(store.data_dir), store.put(data), hashlib.sha256(data).hexdigest(), "manual.pdf"
    )
    return DocumentPage(source, 1, (875, 1241))


async def test_a_part_of_a_page_is_rendered_only_if_it_would_be_enlarged(tmp_path: Path) -> None:
    page = stored_page(BlobStore(tmp_path), pdf(lambda canvas: canvas.rect(0, 0, 99, 99, fill=1)))
    white = encoded(Image.new("RGB", (875, 1241), "white"), "PNG")
    corner = (0.0, 0.9, 0.1, 1.0)
    async with decoder(workers=1, max_pixels=2_000_000) as opens:

        async def mean(max_edge: int, page: DocumentPage) -> tuple[float, str | None]:
            shown = await opens.render(
                white, max_edge=max_edge, max_bytes=99_999, crop=corner, min_edge=768, page=page
            )
            gray = Image.open(io.BytesIO(shown.data)).convert("L")
            return float(np.asarray(gray).mean()), shown.document_error

        assert await mean(1024, page) == (pytest.approx(0, abs=3), None)  # black, of the document
        assert await mean(100, page) == (255, None)  # the picture is large enough
        assert await mean(1024, replace(page, page=7)) == (255, "broken")
        changed = replace(page, document=page.document._replace(sha256="00" * 32))
        assert await mean(1024, changed) == (255, "changed")


async def test_the_text_layer_of_a_page_is_read(tmp_path: Path) -> None:
    page = stored_page(BlobStore(tmp_path), pdf(lambda canvas: canvas.drawString(42, 535, "Total")))
    async with decoder(workers=1) as opens:
        ((text, box),) = await opens.text_lines(page)
        with pytest.raises(MediaError, match="has no page 2"):
            await opens.text_lines(replace(page, page=2))
    assert text == "Total"
    assert box[0] == pytest.approx(0.1, abs=0.01)
    assert box[1] < 0.1 < box[3] + 0.01


async def test_a_page_that_ends_its_worker_is_enlarged_from_its_picture(tmp_path: Path) -> None:
    page = stored_page(BlobStore(tmp_path), pdf(lambda canvas: canvas.rect(0, 0, 9, 9, fill=1)))
    page = replace(page, picture_size=(48, 32))
    async with decoder(workers=1) as opens:
        await opens.load(jpeg(1))
        (process,) = children()
        os.kill(process, signal.SIGSTOP)  # so that the call is in its hands when it dies
        call = asyncio.create_task(
            opens.render(jpeg(2), max_edge=999, max_bytes=99_999, min_edge=400, page=page)
        )
        await asyncio.sleep(0)
        os.kill(process, signal.SIGKILL)
        shown = await call
    assert shown.document_error == "crashed"
    assert (shown.width, shown.height) == (384, 256)


async def test_a_stored_image_is_verified_by_its_hash(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    location = store.put(jpeg(1))
    sha256 = hashlib.sha256(jpeg(1)).hexdigest()
    stored = BlobSource(str(tmp_path), location, sha256, "album/a.jpg")
    async with decoder(workers=1) as opens:
        assert (await opens.load(stored)).source_size == picture(1).size
        with pytest.raises(MediaError, match=r"album/a\.jpg has changed since ingest"):
            await opens.load(stored._replace(sha256="00" * 32))
        store.discard([location])
        with pytest.raises(MediaError, match=r"album/a\.jpg no longer exists") as raised:
            await opens.load(stored)
    assert raised.value.code == "missing"


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Return a folder whose path has no links."""
    return tmp_path.resolve()


async def test_a_path_with_a_link_in_it_is_not_opened(real: Path) -> None:
    folder = real / "folder"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(1))
    (real / "link").symlink_to(folder)
    async with decoder(workers=1) as opens:
        assert (await opens.load(str(folder / "a.jpg"))).source_size == picture(1).size
        with pytest.raises(MediaError, match="cannot be opened"):
            await opens.load(str(real / "link" / "a.jpg"))


async def test_one_principal_waits_for_itself_and_not_the_others() -> None:
    async with decoder(workers=2) as opens:
        await opens.load(jpeg(1), principal="alice")
        (process,) = children()
        os.kill(process, signal.SIGSTOP)
        calls = [asyncio.create_task(opens.load(jpeg(n), principal="alice")) for n in range(9)]
        await asyncio.sleep(0)
        for number in range(9):
            await opens.load(jpeg(number), principal="bob")
        assert not any(call.done() for call in calls)
        os.kill(process, signal.SIGCONT)
        assert len(await asyncio.gather(*calls)) == 9


async def test_a_cancelled_call_ends_its_worker_and_frees_its_place() -> None:
    async with decoder(workers=2) as opens:
        await opens.load(jpeg(1), principal="alice")
        (process,) = children()
        os.kill(process, signal.SIGSTOP)
        running, waiting, last = (
            asyncio.create_task(opens.load(jpeg(n), principal="alice")) for n in range(3)
        )
        for _ in range(9):  # until the first call has its worker
            await asyncio.sleep(0)
        waiting.cancel()
        running.cancel()
        assert (await last).source_size == picture(2).size
        assert process not in children()
        results = await asyncio.gather(running, waiting, return_exceptions=True)
    assert [type(each) for each in results] == [asyncio.CancelledError] * 2


async def test_more_calls_than_may_wait_are_told_to_try_again() -> None:
    async with decoder(workers=1) as opens:
        await opens.load(jpeg(1), principal="alice")
        (process,) = children()
        os.kill(process, signal.SIGSTOP)
        calls = [asyncio.create_task(opens.load(jpeg(1), principal="alice")) for _ in range(65)]
        await asyncio.sleep(0)
        with pytest.raises(
            ModelOverloadedError, match="64 of your calls already wait for worker processes"
        ):
            await opens.load(jpeg(1), principal="alice")
        os.kill(process, signal.SIGCONT)
        assert len(await asyncio.gather(*calls)) == 65


async def test_a_process_decodes_the_images_of_one_principal_only() -> None:
    async with decoder(workers=2) as opens:
        processes = []
        for principal in ("alice", "bob", "alice", "bob"):
            before = set(children())
            await opens.load(jpeg(1), principal=principal)
            processes.append(set(children()) - before)
        assert [len(each) for each in processes] == [1, 1, 0, 0]
        await opens.load(jpeg(1), principal="carol")
        assert processes[0].isdisjoint(children())  # the one that was idle for longest ended
        assert len(children()) == 2
