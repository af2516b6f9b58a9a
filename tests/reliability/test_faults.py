"""Full or read-only disks and changed clocks cause errors and lose no data."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.server.database import schema_migration
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, StorageError, describe
from sightline.storage.ingest.discover.input_paths import Upload
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestSummary
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.postgres import EmbeddedPostgres
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import fill, jpeg

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Mount a disk of 192 MiB."""
    with tempfile.TemporaryDirectory(prefix="sightline-disk-") as name:
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("only root makes disks")
        if not mount("-t", "tmpfs", "-o", "size=192m,mode=755", "tmpfs", name):
            pytest.skip("this container may not make disks")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


async def take(database: Database, data: Path, *given: Path | Upload) -> IngestSummary:
    encoder = ColorHistogramEncoder()
    return await ingest(
        database,
        BlobStore(data),
        encoder,
        given,
        collection="album",
        options=IngestOptions(workers=1, batch_size=16, write_rows=16),
        passage_encoder=encoder,
    )


async def test_a_full_disk_stops_an_ingest_with_an_error_and_keeps_committed_data(
    small_disk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    fill(folder, 200)
    for path in folder.iterdir():
        path.with_suffix(".txt").write_text(" ".join(f"{path.stem}word{n}" for n in range(300)))
    data = small_disk / "data"
    with EmbeddedPostgres(data) as postgres:
        schema_migration.upgrade(postgres.dsn())
        database = await Database.open(postgres.dsn(), restart=postgres.ensure_running)
        before = await take(database, data, Upload("first.jpg", jpeg(999)))
        ballast = small_disk / "ballast"
        status = os.statvfs(small_disk)
        ballast.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - 2 * MIB)))
        with pytest.raises(StorageError) as raised:
            await take(database, data, folder)
        assert re.search(r"(?i)no space left|cannot be reached", describe(raised.value))
        assert "Traceback" not in describe(raised.value)
        with pytest.raises(StorageError):
            BlobStore(data).put(bytes(8 * MIB))
        ballast.unlink()
        after = await take(database, data, folder)
        assert before.added == 1
        assert after.failed == 0
        assert after.added + after.unchanged == 200
        again = await take(database, data, folder)
        assert again.unchanged == 200
        assert await check(database, BlobStore(data)) == []
        await database.close()


async def test_a_read_only_data_folder_can_be_read(
    small_disk: Path, database: Database, tmp_path: Path
) -> None:
    await take(database, small_disk, Upload("first.jpg", jpeg(1)))
    (location,) = BlobStore(small_disk).locations()
    assert mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(StorageError, match=r"(?i)could not be stored in .*read-only"):
        await take(database, small_disk, Upload("second.jpg", jpeg(2)))
    store = BlobStore(small_disk)
    content = store.read(
        location, bytes.fromhex(location.removeprefix("object:")), name="first.jpg"
    )
    assert content == jpeg(1)
    assert mount("-o", "remount,rw", str(small_disk))
    assert (await take(database, small_disk, Upload("second.jpg", jpeg(2)))).added == 1
    assert await check(database, store) == []


def test_an_embedded_database_in_a_read_only_folder_is_refused(
    small_disk: Path,
) -> None:
    assert mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(ConfigurationError, match=r"(?i)read-only.*SIGHTLINE_DATA_DIR"):
        EmbeddedPostgres(small_disk / "data")


#: Modules that use the wall clock, with the reason. No deadline uses it.
WALL_CLOCK_MODULES = {
    "storage/blobs.py": "the age of files that a killed process left",
    "server/models/vision_language/circuit_breaker.py": "Retry-After as a date",
    "server/mcp_server/audit.py": "the time of a call",
    "server/http/pictures/media_links.py": "the end of a link, which another process may read",
    "server/auth/jwt_verifier.py": "the validity of a token, which is a date",
    "server/cli/analysis/analytics_commands.py": "when a map was created",
    "storage/ingest/decode/worker/documents/libre_office.py": "the age of folders left behind",
}


def test_no_deadline_uses_the_wall_clock() -> None:
    """Deadlines use the monotonic clock; uses of the wall clock are listed above."""
    modules = set()
    for folder in ("server", "storage", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                    *("time.time", "time.time_ns", "datetime.now", "datetime.utcnow"),
                    *("date.today", "datetime.today"),
                ):
                    modules.add(str(path.relative_to(ROOT)))
    assert modules == WALL_CLOCK_MODULES.keys()
