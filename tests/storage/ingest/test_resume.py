import asyncio
import json
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from sightline.storage.db.pool import Database
from sightline.storage.errors import DatabaseUnavailableError
from sightline.storage.ingest.decode.worker.image import tile_boxes
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.records import collections
from tests.storage.ingest.conftest import Bench
from tests.support.sample_images import fill

ROOT = Path(__file__).parents[3]
IMAGES = 120


@asynccontextmanager
async def ingest_process(
    dsn: str, data: Path, folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.ingest_process"),
        *(dsn, str(data), "album", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def reported_counts(process: asyncio.subprocess.Process) -> AsyncIterator[tuple[int, int]]:
    assert process.stdout is not None
    async for line in process.stdout:
        if not line.startswith(b"{"):
            done, added = map(int, line.split())
            yield done, added


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]


def commands_of(processes: list[int]) -> dict[int, str]:
    """Return the command of each process, to show which ones are left."""
    return {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in processes}


async def count_whole_assets(bench: Bench) -> int:
    """Check that every asset has exactly its rows; return the number of assets."""
    counts = await bench.counts()
    assert counts["source"] == counts["asset"] == counts["thumbnail"]
    assert counts["embedding"] == counts["asset"] + counts["content_passage"]
    ((double,),) = await bench.rows("SELECT count(*) - count(DISTINCT sha256) FROM sightline.asset")
    assert double == 0
    return counts["asset"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
async def test_a_killed_ingest_keeps_what_it_reported_and_the_next_one_continues(
    bench: Bench, database_dsn: str, album: Path, tmp_path: Path
) -> None:
    for path in fill(album, IMAGES)[::3]:
        path.with_suffix(".txt").write_text(f"picture {path.stem}")
    async with ingest_process(database_dsn, tmp_path, album) as process:
        async for _, added in reported_counts(process):
            if added >= IMAGES // 4:
                break
        workers = [os.pidfd_open(pid) for pid in children(process.pid)]
        process.send_signal(signal.SIGKILL)
        await process.wait()
        for worker in workers:  # they end with their parent: each becomes readable then
            ready, _, _ = await asyncio.to_thread(select.select, [worker], [], [], 60)
            assert ready
            os.close(worker)
    existing = await count_whole_assets(bench)
    assert added <= existing < IMAGES
    summary = await bench.ingest(album)
    assert summary.unchanged == existing
    assert summary.added == IMAGES - existing
    assert await count_whole_assets(bench) == IMAGES
    assert (await bench.counts())["content_passage"] == IMAGES // 3


@pytest.mark.parametrize("later", [False, True], ids=["with the pictures", "after them"])
async def test_a_killed_ingest_leaves_all_tiles_of_an_image_or_none(
    bench: Bench, database_dsn: str, album: Path, tmp_path: Path, later: bool
) -> None:
    count, each = 40, len(tile_boxes(150, 150))
    for number in range(count):
        Image.new("RGB", (150, 150), (5 * number, 90, 200)).save(album / f"{number}.png")
    if later:
        await bench.ingest(album)
    async with bench.database.connection() as connection:
        owner = await collections.ensure(connection, "album")
        await collections.update_settings(connection, owner, {"tiles": True})
    async with ingest_process(database_dsn, tmp_path, album) as process:
        async for done, _ in reported_counts(process):
            if done > 0:
                break
        with suppress(ProcessLookupError):  # it was quicker
            process.send_signal(signal.SIGKILL)
        await process.wait()
    before = await _tiles(bench)
    assert set(before.values()) == {each}
    summary = await bench.ingest(album)
    assert summary.failed == 0
    assert await _tiles(bench) == dict.fromkeys(await _assets(bench), each)
    assert len(await _assets(bench)) == count
    assert await check(bench.database, bench.blobs) == []


async def _assets(bench: Bench) -> list[str]:
    return [id_ for (id_,) in await bench.rows("SELECT id FROM sightline.asset")]


async def _tiles(bench: Bench) -> dict[str, int]:
    """Return the tiles per asset; all are different and have their own vector."""
    rows = await bench.rows(
        "SELECT r.asset_id, count(*), count(DISTINCT r.ordinal), count(e.region_id) "
        "FROM sightline.region AS r LEFT JOIN sightline.embedding AS e ON e.region_id = r.id "
        "WHERE r.kind = 'tile' GROUP BY r.asset_id"
    )
    assert all(all_ == different == encoded for _, all_, different, encoded in rows)
    return {asset_id: all_ for asset_id, all_, _, _ in rows}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
async def test_a_canceled_ingest_leaves_whole_batches_and_no_processes(
    bench: Bench, album: Path
) -> None:
    fill(album, IMAGES)
    others = commands_of(children(os.getpid()))
    added = asyncio.Event()
    bench.progress = _Watch(added)
    task = asyncio.create_task(bench.ingest("album", batch_size=8, write_rows=8))
    await added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert commands_of(children(os.getpid())).items() <= others.items()
    existing = await count_whole_assets(bench)
    assert 0 < existing < IMAGES
    assert (await bench.ingest("album")).added == IMAGES - existing


class _Watch(list):  # type: ignore[type-arg]
    """Sets an event when a file was added."""

    def __init__(self, added: asyncio.Event) -> None:
        super().__init__()
        self._added = added

    def append(self, progress) -> None:  # type: ignore[no-untyped-def]
        if progress.added:
            self._added.set()


async def test_two_processes_on_one_folder_make_no_duplicates_and_no_failures(
    bench: Bench, database_dsn: str, album: Path, tmp_path: Path
) -> None:
    fill(album, IMAGES)
    (album / "bad.jpg").write_bytes(b"")

    async def run() -> dict[str, int]:
        async with ingest_process(database_dsn, tmp_path, album) as process:
            out, _ = await process.communicate()
        assert process.returncode == 0
        summary: dict[str, int] = json.loads(out.splitlines()[-1])
        return summary

    one, two = await asyncio.gather(run(), run())
    assert one["added"] + two["added"] == IMAGES
    assert one["failed"] == two["failed"] == 1
    assert one["added"] + one["unchanged"] == two["added"] + two["unchanged"] == IMAGES
    counts = await bench.counts()
    assert (counts["source"], counts["asset"], counts["embedding"]) == (
        IMAGES + 1,
        IMAGES,
        IMAGES,
    )


async def test_a_lost_database_is_an_error(bench: Bench, database: Database, album: Path) -> None:

    fill(album, 2)
    await database.close()
    with pytest.raises(DatabaseUnavailableError):
        await bench.ingest("album")
