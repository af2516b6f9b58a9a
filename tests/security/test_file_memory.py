"""Files of all ingests share the memory of the server and its disk."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import MediaError
from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.ingest.archives import archive_members
from sightline.storage.ingest.archives.archive_tree import read_archive
from sightline.storage.ingest.decode.worker.worker_protocol import ArchiveRequest
from sightline.storage.ingest.discover.input_paths import Upload
from sightline.storage.ingest.ingest_capacity import FileMemory, IngestCapacity
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.stage_types import DiscoveredFile
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import jpeg

OPTIONS = IngestOptions(workers=1)


def held(count: int, size: int = 10) -> list[DiscoveredFile]:
    return [DiscoveredFile(f"{n}", f"{n}", data=bytes(size)) for n in range(count)]


async def test_the_files_of_one_principal_leave_room_for_others() -> None:
    shared = FairSemaphore(100, max_waiting=8, what="memory for files")
    first, second = FileMemory(shared, "alice"), FileMemory(shared, "alice")
    files = held(5)
    await first.acquire(files)  # half
    waiting = asyncio.create_task(second.acquire(held(1)))
    bob = FileMemory(shared, "bob")
    await bob.acquire(held(4))
    assert not waiting.done()
    for file in files:
        await first.release(file)
        await first.release(file)  # once only
    await waiting
    for memory in (first, second, bob):
        await memory.close()
    assert shared._held == {}


async def test_a_batch_that_is_larger_than_all_is_admitted_alone() -> None:
    shared = FairSemaphore(100, max_waiting=8, what="memory for files")
    memory = FileMemory(shared, None)
    files = held(3, size=90)
    await memory.acquire(files)
    waiting = asyncio.create_task(memory.acquire(held(1)))
    for file in files:
        await asyncio.sleep(0)
        assert not waiting.done()
        await memory.release(file)
    await waiting
    await memory.close()


async def test_an_ingest_gives_back_the_memory_of_all_its_files(
    database: Database, tmp_path: Path
) -> None:
    capacity = IngestCapacity(OPTIONS)
    good, other = jpeg(1), jpeg(2)
    uploads = [
        *(Upload("a.jpg", good), Upload("b.jpg", good), Upload("c.jpg", other)),
        *(Upload("d.jpg", b"broken"), Upload("e.txt", b"a text")),
    ]
    for _ in range(2):
        await ingest(
            database,
            BlobStore(tmp_path),
            ColorHistogramEncoder(),
            uploads,
            collection="album",
            options=OPTIONS,
            capacity=capacity,
            principal="alice",
        )
        assert capacity.file_bytes._held == {}
    await capacity.close()


def tgz(path: Path, size: int) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("a.bin")
        entry.size = size
        archive.addfile(entry, io.BytesIO(bytes(size)))
    return path


@pytest.mark.parametrize(("free", "limit"), [(3 << 20, 1 << 30), (1 << 40, 3 << 20)])
def test_an_archive_is_not_unpacked_to_a_disk_without_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, limit: int
) -> None:
    path = tgz(tmp_path / "a.tgz", 8 << 20)
    request = ArchiveRequest("a.tgz", str(path))
    assert list(read_archive(request, OPTIONS, lambda: None))
    disk = SimpleNamespace(f_bavail=free, f_frsize=1)
    monkeypatch.setattr(archive_members, "_MAX_UNPACKED_BYTES", limit)
    monkeypatch.setattr(os, "fstatvfs", lambda _: disk)
    with pytest.raises(MediaError, match="unpack it before") as raised:
        list(read_archive(request, OPTIONS, lambda: None))
    assert raised.value.code == "too_large"


@pytest.mark.parametrize("target", ["same", "other", "missing", "folder", "/dev/zero"])
def test_a_stored_file_that_became_a_link_tells_nothing_of_its_target(
    tmp_path: Path, target: str
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    (outside / "folder").mkdir(parents=True)
    (outside / "same").write_bytes(b"content")
    (outside / "other").write_bytes(b"others")
    path = root / "x.png"
    path.write_bytes(b"content")
    blobs, sha256 = BlobStore(tmp_path / "data"), hashlib.sha256(b"content").digest()
    assert blobs.read(f"file:{path}", sha256, name="x.png") == b"content"
    path.unlink()
    path.symlink_to(outside / target)
    with pytest.raises(MediaError) as raised:
        blobs.read(f"file:{path}", sha256, name="x.png")
    assert (raised.value.code, str(raised.value)) == ("unreadable", "x.png is not a file.")


@pytest.mark.parametrize("target", ["same", "missing"])
def test_a_folder_that_became_a_link_tells_nothing_either(tmp_path: Path, target: str) -> None:
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "x.png").write_bytes(b"content")
    (tmp_path / "root").symlink_to(tmp_path / target)
    with pytest.raises(MediaError) as raised:
        BlobStore(tmp_path / "data").read(f"file:{tmp_path}/root/x.png", bytes(32), name="x.png")
    assert raised.value.code == "missing"
