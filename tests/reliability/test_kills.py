"""After SIGKILL at any time, confirmed data exists and the next run completes."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import random
import signal
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from PIL import Image
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.server.database import schema_migration
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.postgres import EmbeddedPostgres
from tests.support.media import BLUE, GREEN, RED, film, pdf
from tests.support.sample_images import fill, jpeg

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
TEMPLATE = "template_kills"
TABLES = ("source", "asset", "thumbnail", "region", "passage", "posting", "embedding")
#: Leftovers that a kill may cause; they cost space or time until the next run.
HARMLESS = {"blob_unreferenced", "partial_file", "space_without_index"}


@dataclass
class Life:
    """Result of one process: its output and its end."""

    pid: int = 0
    said: list[str] = field(default_factory=list)
    status: int = 0

    @property
    def annotations(self) -> set[int]:
        return {int(line.split()[1]) for line in self.said if line.startswith("saved ")}

    @property
    def added(self) -> int:
        said = [int(line.split()[1]) for line in self.said if line.startswith("added ")]
        return max(said, default=0)


@dataclass
class Nursery:
    """Starts processes that ingest and annotate."""

    process: asyncio.subprocess.Process

    async def live(self, dsn: str, data: Path, folder: Path) -> AsyncIterator[Life]:
        """Run a process; yield at each line of output and at its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        job = {"dsn": dsn, "data": str(data), "folder": str(folder)}
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        life = Life()
        while line := (await self.process.stdout.readline()).decode():
            word, _, rest = line.strip().partition(" ")
            if word == "pid":
                life.pid = int(rest)
            elif word == "ended":
                life.status = int(rest)
                return
            else:
                life.said.append(line.strip())
            yield life

    async def whole(self, dsn: str, data: Path, folder: Path) -> Life:
        """Run a process to its end."""
        lives = [life async for life in self.live(dsn, data, folder)]
        return lives[-1]


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.killed_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield Nursery(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def durable() -> Iterator[EmbeddedPostgres]:
    """Start a server with fsync, so that commits survive a kill."""
    with (
        tempfile.TemporaryDirectory(prefix="sightline-kills-") as folder,
        EmbeddedPostgres(Path(folder)) as server,
    ):
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        schema_migration.upgrade(server.dsn(TEMPLATE))
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images with captions or tiles, a PDF, a video, an archive, rows and a bad file."""
    folder = tmp_path / "folder"
    for path in fill(folder, 24)[::2]:
        path.with_suffix(".txt").write_text(f"picture {path.stem} of the yard")
    for number in range(6):
        Image.new("RGB", (150, 150), (40 * number, 90, 200)).save(folder / f"large{number}.png")
    (folder / "book.pdf").write_bytes(
        pdf(*(lambda page, n=n: page.drawString(60, 300, f"chapter {n}") for n in range(4)))
    )
    film(folder / "film.mp4", [(RED, 1), (GREEN, 1), (BLUE, 1)])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(8):
            archive.writestr(f"{number}.jpg", jpeg(100 + number))
    (folder / "more.zip").write_bytes(packed.getvalue())
    (folder / "rows.csv").write_text("name,price\n" + "".join(f"plum {n},{n}\n" for n in range(20)))
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


@dataclass
class Tried:
    """Counts of a series of kills."""

    killed: Counter[str] = field(default_factory=Counter)
    left_behind: Counter[str] = field(default_factory=Counter)


class Series:
    """Kills processes, each with its own database, and compares with a full run."""

    def __init__(self, server: EmbeddedPostgres, folder: Path, tmp_path: Path, seed: int) -> None:
        self._server = server
        self._folder = folder
        self._tmp_path = tmp_path
        self._chance = random.Random(seed)
        self._numbers = iter(range(10_000))
        #: Output lines of a full run, with the time between them.
        self._words = 0
        self._pause = 0.0
        self.tried = Tried()

    async def run(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        async with nursery() as births:
            async with self._place() as (dsn, data):
                began = 0.0
                async for life in births.live(dsn, data, self._folder):
                    if life.said == ["begin"]:
                        began = loop.time()
                self._words = len(life.said)
                self._pause = (loop.time() - began) / self._words
                assert (life.said[-1], life.status) == ("end", 0)
                expected = await self._counts(dsn)
                assert expected["region"] > expected["asset"]  # tiles
                assert await self._findings(dsn, data) == Counter()
            for _ in range(count):
                await self._one(births, expected)

    async def _one(self, births: Nursery, expected: dict[str, int]) -> None:
        async with self._place() as (dsn, data):
            killed = await self._killed(births, dsn, data)
            self._server.ensure_running()
            found = await self._findings(dsn, data)
            assert set(found) <= HARMLESS, (found, killed.said)
            self.tried.left_behind += found
            there = await self._counts(dsn)
            assert there["asset"] >= (killed.added and 1)
            assert killed.annotations <= await self._annotations(dsn)
            again = await births.whole(dsn, data, self._folder)
            assert (again.said[-1], again.status) == ("end", 0), again.said
            assert await self._counts(dsn) == expected
            assert killed.annotations | again.annotations <= await self._annotations(dsn)
            assert await self._findings(dsn, data) == Counter()

    async def _killed(self, births: Nursery, dsn: str, data: Path) -> Life:
        """Kill a process at a moment after one of its output lines, perhaps with Postgres.

        The moment depends on output, not only on time, because a busy machine is slower.
        """
        life, ends = Life(), births.live(dsn, data, self._folder)
        words = self._chance.randrange(1, self._words)
        async for life in ends:
            if len(life.said) >= words:
                break
        reading = asyncio.ensure_future(anext(ends, None))
        await asyncio.wait([reading], timeout=self._chance.uniform(0, 2 * self._pause))
        what = self._chance.choices(["the process", "the process and Postgres"], [9, 1])[0]
        if what != "the process":
            os.kill(self._postmaster(), signal.SIGKILL)
        with suppress(ProcessLookupError):  # it ended earlier
            os.kill(life.pid, signal.SIGKILL)
        await reading
        async for _ in ends:
            pass
        phase = "annotating" if life.annotations else "ingesting" if life.added else "beginning"
        self.tried.killed[f"{what}, {phase}"] += 1
        return life

    def _postmaster(self) -> int:
        with psycopg.connect(self._server.dsn("postgres")) as connection:
            row = connection.execute(
                "SELECT (string_to_array(pg_read_file('postmaster.pid'), E'\\n'))[1]"
            ).fetchone()
        assert row is not None
        return int(row[0])

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[tuple[str, Path]]:
        """Create an empty database and a blob store; drop the database afterwards."""
        name = f"kill_{next(self._numbers)}"
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE)
                )
            )
        yield make_conninfo(self._server.dsn(), dbname=name), self._tmp_path / name
        with psycopg.connect(self._server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))

    async def _findings(self, dsn: str, data: Path) -> Counter[str]:
        database = await Database.open(dsn)
        try:
            found = await check(database, BlobStore(data))
        finally:
            await database.close()
        return Counter({finding.code: finding.count for finding in found})

    async def _counts(self, dsn: str) -> dict[str, int]:
        with psycopg.connect(dsn) as connection:
            return {
                table: connection.execute(
                    sql.SQL("SELECT count(*) FROM sightline.{}").format(sql.Identifier(table))
                ).fetchall()[0][0]
                for table in TABLES
            }

    async def _annotations(self, dsn: str) -> set[int]:
        with psycopg.connect(dsn) as connection:
            return {row[0] for row in connection.execute("SELECT id FROM sightline.annotation")}


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(2, id="2"),
        pytest.param(100, id="100", marks=[pytest.mark.slow, pytest.mark.timeout(7200)]),
    ],
)
async def test_confirmed_data_survives_a_kill_and_the_next_run_completes_it(
    durable: EmbeddedPostgres, folder: Path, tmp_path: Path, count: int
) -> None:
    series = Series(durable, folder, tmp_path, seed=7)
    await series.run(count)
    logger.info("lives ended: %s", dict(series.tried.killed))
    logger.info("left for the next run to mend: %s", dict(series.tried.left_behind))
    assert sum(series.tried.killed.values()) == count
