"""Work on files is limited as a whole, shared fairly, and ends with its call."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_value
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.worker_protocol import (
    HashRequest,
    JobPart,
    WorkerAlive,
)
from sightline.storage.ingest.decode.worker_pool import Job, WorkBudget, WorkerPool, no_preprocess
from sightline.storage.ingest.decode.worker_process import WorkerProcess
from sightline.storage.ingest.decode.worker_slots import WorkerSlots
from sightline.storage.ingest.discover.input_paths import RemoteFile
from sightline.storage.ingest.ingest_capacity import MAX_INGESTS_PER_PRINCIPAL, IngestCapacity
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestSummary
from tests.support.encoders import ColorHistogramEncoder
from tests.support.faulty_preprocessing import HANG, MisbehavingEncoder
from tests.support.processes import is_running
from tests.support.raw_pdf import write_pdf
from tests.support.sample_images import fill

PAGES = 120


class _CountingSlots(WorkerSlots):
    """Records how many processes there are, and their ids."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.most = 0
        self.pids: list[int] = []
        self.started = asyncio.Event()

    async def _start(self, configuration: bytes) -> WorkerProcess:
        process = await super()._start(configuration)
        self.most = max(self.most, self._busy + len(self._idle))
        self.pids.append(process._transport.get_pid() or 0)
        self.started.set()
        return process


class _Server:
    """Ingests of several principals that share one capacity, as in a server."""

    def __init__(self, database: Database, folder: Path, workers: int) -> None:
        self.database, self.blobs = database, BlobStore(folder / "data")
        self.options = IngestOptions(workers=workers, write_rows=4, file_timeout_seconds=600)
        self.capacity = IngestCapacity(self.options)
        self.capacity.workers = self.slots = _CountingSlots(workers)
        self.waited: list[str] = []
        self.is_waiting = asyncio.Event()

    async def ingest(self, principal: str, *paths: str | Path | RemoteFile) -> IngestSummary:
        return await ingest(
            self.database,
            self.blobs,
            MisbehavingEncoder(),
            paths,
            collection=principal,
            options=self.options,
            capacity=self.capacity,
            principal=principal,
            on_wait=lambda: self._note(principal),
        )

    def _note(self, principal: str) -> None:
        self.waited.append(principal)
        self.is_waiting.set()

    async def count_sources(self) -> int:
        async with self.database.connection() as connection:
            return int(await fetch_value(connection, b"SELECT count(*) FROM sightline.source"))


def hanging(folder: Path, count: int = 3) -> Path:
    """Write images that never return from their worker."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8 + number, 8), HANG).save(folder / f"{number}.png")
    return folder


def nested_forms_pdf(pages: int, *, repeats: int, depth: int) -> bytes:
    """Return a small PDF in which each page draws ``repeats ** depth`` shapes."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    shape = b"0.5 0 0 rg 10 10 200 200 re f 300 300 m 500 10 20 400 300 300 c f\n"
    form = b"<< /Type /XObject /Subtype /Form /BBox [0 0 600 800] %s /Length %d >>"
    form += b"\nstream\n%s\nendstream"
    number = add(form % (b"", len(shape), shape))
    for _ in range(depth):
        resources = b"/Resources << /XObject << /F %d 0 R >> >>" % number
        number = add(form % (resources, len(b"/F Do\n") * repeats, b"/F Do\n" * repeats))
    content = add(b"<< /Length 5 >>\nstream\n/F Do\nendstream")
    kids = len(objects) + pages + 1
    page = (
        b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 600 800] /Contents %d 0 R "
        b"/Resources << /XObject << /F %d 0 R >> >> >>" % (kids, content, number)
    )
    ids = [add(page) for _ in range(pages)]
    listed = b" ".join(b"%d 0 R" % each for each in ids)
    add(b"<< /Type /Pages /Count %d /Kids [%s] >>" % (pages, listed))
    root = add(b"<< /Type /Catalog /Pages %d 0 R >>" % kids)
    return write_pdf(objects, root)


async def test_a_small_document_cannot_take_its_time_again_for_each_page(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(nested_forms_pdf(PAGES, repeats=10, depth=3))
    summary = await ingest(
        database,
        BlobStore(tmp_path / "data"),
        ColorHistogramEncoder(),
        [path],
        collection="album",
        options=IngestOptions(workers=1, file_timeout_seconds=3),
    )
    assert list(summary.warnings) == ["document_cut_short"]
    assert 0 < summary.images < PAGES


@pytest.mark.parametrize(
    ("name", "size", "seconds"),
    [
        ("a.jpg", 200 << 20, 60),
        ("a.csv", 200 << 20, 60),
        ("a.pdf", 300_000, 60 + 30),
        ("a.tiff", 300_000, 60 + 30),
        ("a.unknown", 300_000, 60 + 30),
        ("a.pdf", 1 << 30, 1800),
        ("a.mp4", 1000, 1800),
    ],
)
def test_the_limit_of_a_whole_file_depends_on_its_type_and_size(
    name: str, size: int, seconds: float
) -> None:
    assert IngestOptions().work_seconds(name, size) == seconds


async def test_a_worker_that_says_it_is_alive_gets_no_more_time() -> None:
    class Endless:
        def send(self, frames: object) -> None: ...

        async def receive(self, max_frame_bytes: int) -> WorkerAlive:
            await asyncio.sleep(0.001)
            return WorkerAlive()

    errors: list[MediaError] = []

    async def nothing(_: JobPart | None = None) -> None:
        raise AssertionError

    async def on_failed(error: MediaError) -> None:
        errors.append(error)

    budget = WorkBudget(max_seconds=0.05, max_step_seconds=60)
    job = Job(HashRequest("/x"), nothing, nothing, on_failed, budget)
    pool = WorkerPool(no_preprocess, IngestOptions())
    assert not await pool._serve(Endless(), deque([job]))  # type: ignore[arg-type]
    assert [error.code for error in errors] == ["timeout"]


async def test_a_cancelled_ingest_kills_its_workers_and_leaves_whole_batches(
    database: Database, tmp_path: Path
) -> None:
    server = _Server(database, tmp_path, workers=1)
    task = asyncio.create_task(server.ingest("alice", hanging(tmp_path / "alice")))
    await server.slots.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.gather(*server.slots._ending)
    assert [is_running(pid) for pid in server.slots.pids] == [False]
    assert await server.count_sources() == 0
    good = fill(tmp_path / "good", 3)[0].parent
    assert (await server.ingest("alice", good)).added == 3  # its slots are free again
    await server.capacity.close()


async def test_ingests_of_all_principals_share_a_bounded_number_of_workers(
    database: Database, tmp_path: Path
) -> None:
    server = _Server(database, tmp_path, workers=2)
    folders = [fill(tmp_path / str(n), 5, 10 * n)[0].parent for n in range(7)]
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(server.ingest("alice", folder)) for folder in folders[:6]]
        calls.append(tasks.create_task(server.ingest("bob", folders[6])))
    assert sum(call.result().added for call in calls) == 35
    assert server.slots.most == 2
    assert server.waited == ["alice"] * (6 - MAX_INGESTS_PER_PRINCIPAL)
    await server.capacity.close()


async def test_files_that_hang_do_not_stop_those_of_another_principal(
    database: Database, tmp_path: Path
) -> None:
    server = _Server(database, tmp_path, workers=2)
    floods = [
        asyncio.create_task(server.ingest("alice", hanging(tmp_path / str(n)))) for n in range(4)
    ]
    await server.slots.started.wait()
    folder = fill(tmp_path / "bob", 3)[0].parent
    assert (await server.ingest("bob", folder)).added == 3
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)
    await server.capacity.close()


async def test_a_cancelled_ingest_counts_until_its_threads_end(
    database: Database, tmp_path: Path
) -> None:
    server = _Server(database, tmp_path, workers=1)
    loop = asyncio.get_running_loop()
    with _Blocked(loop, MAX_INGESTS_PER_PRINCIPAL) as blocked:
        tasks = [
            asyncio.create_task(server.ingest("alice", RemoteFile("https://a.test/", each)))
            for each in blocked.loads
        ]
        await blocked.all_started.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        good = fill(tmp_path / "good", 2)[0].parent
        waiting = asyncio.create_task(server.ingest("alice", good))
        await server.is_waiting.wait()
        assert not waiting.done()
    assert (await waiting).added == 2
    await server.capacity.close()


class _Blocked:
    """Downloads that wait in their threads until the block ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        import threading

        self._loop, self._left = loop, count
        self._release = threading.Event()
        self.all_started = asyncio.Event()
        self.loads = [self._load] * count

    def _load(self) -> bytes:
        self._loop.call_soon_threadsafe(self._count)
        self._release.wait()
        raise MediaError("unreachable", "was stopped")

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self.all_started.set()

    def __enter__(self) -> _Blocked:
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()


@pytest.fixture(autouse=True)
def no_workers_left() -> Iterator[None]:
    """Check that no test leaves a worker process."""
    yield
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        commands = [Path(f"/proc/{pid}/cmdline") for pid in children.read_text().split()]
        texts = [each.read_bytes() for each in commands if each.exists()]
        assert not [text for text in texts if b"decode.worker" in text]
