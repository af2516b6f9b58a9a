"""The ten questions of docs/analytics.md on generated assets: times, and how they were answered.

    python -m benchmarks analytics -- --rows 100000 --data-dir /tmp/analysts

Each question is asked as an agent asks it, as the login that may only read, before and after
`sightline analyze`. Below the times stand the plans; what a function does inside, EXPLAIN does not
say, so the tables and indexes that were scanned stand beside it, with how often. Then an export of
all vectors to each format, and whether its bits came back. A data folder that is named is kept, and
used again.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from pyarrow import parquet

from benchmarks.tables import show
from sightline.server.database import schema_migration
from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.analyst_roles import ensure_query_login
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres
from sightline.storage.records import embedding_spaces
from tests.support import catalogue

_PAGE = Path(__file__).parents[1] / "docs" / "analytics.md"
_SCANS = (
    "SELECT relname::text, pg_stat_get_xact_numscans(oid) FROM pg_class "
    "WHERE relnamespace = 'sightline'::regnamespace AND relkind IN ('r', 'i')"
)


@dataclass(frozen=True)
class Asked:
    """A question with its answer's size, time in milliseconds, plan, and scans by relation."""

    title: str
    rows: int
    milliseconds: float
    plan: list[str]
    scans: dict[str, int]


async def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    with _folder(options.data_dir) as folder, EmbeddedPostgres(folder, durable=False) as server:
        dsn = server.dsn()
        fresh = schema_migration.current(dsn) is None
        schema_migration.upgrade(dsn)
        database = await Database.open(dsn, statement_timeout_seconds=36_000)
        if fresh:
            began = time.perf_counter()
            await catalogue.load(database, options.rows, options.dimension)
            print(f"{options.rows:,} assets loaded and indexed in {_since(began)}")
        async with database.connection() as connection:
            login = await ensure_query_login(connection)
        analyst = make_conninfo(dsn, user=login, options="-c search_path=analytics,public")
        if fresh:
            (duplicates, *_) = questions()
            before = await _ask(analyst, *duplicates)
            print(f"{before.title}, nothing analysed: {before.milliseconds:,.0f} ms")
            began = time.perf_counter()
            for done in await cluster_analysis.cluster(database):
                print(f"{done.assets:,} in {done.k} clusters of {done.collection}", flush=True)
            print(f"clusters of all: {_since(began)}")
            began = time.perf_counter()
            compared = await cluster_analysis.compare(database)
            print(f"{compared:,} compared: {_since(began)}")
        asked = [await _ask(analyst, *each) for each in questions()]
        _print(asked)
        await _export(database, folder)
        await database.close()


def questions() -> list[tuple[str, str]]:
    """Title and statement of each question of the page."""
    page = _PAGE.read_text(encoding="utf-8")
    return re.findall(r"^([^\n]+):\n\n```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


async def _ask(dsn: str, title: str, statement: str) -> Asked:
    """In a fresh session, as ``query_sql`` has it; the second time, so that all is in memory."""
    async with await AsyncConnection.connect(dsn) as connection:
        await connection.execute("SET TRANSACTION READ ONLY")
        await connection.execute("SET LOCAL jit = off")
        await (await connection.execute(statement.encode())).fetchall()
        before = dict(await (await connection.execute(_SCANS)).fetchall())
        began = time.perf_counter()
        rows = await (await connection.execute(statement.encode())).fetchall()
        taken = time.perf_counter() - began
        after = await (await connection.execute(_SCANS)).fetchall()
        plan = await (
            await connection.execute(b"EXPLAIN (COSTS off) " + statement.encode())
        ).fetchall()
    scans = {name: count - before.get(name, 0) for name, count in after}
    return Asked(
        title,
        len(rows),
        1000 * taken,
        [row[0] for row in plan],
        {k: v for k, v in scans.items() if v},
    )


def _print(asked: list[Asked]) -> None:
    show(
        "The questions, second time each",
        ("question", "rows", "ms"),
        [(each.title, f"{each.rows:,}", f"{each.milliseconds:,.0f}") for each in asked],
    )
    for each in asked:
        print(f"\n{each.title}")
        print("\n".join(f"    {line}" for line in each.plan))
        scanned = ", ".join(f"{name} {count:,}x" for name, count in sorted(each.scans.items()))
        print(f"    scanned: {scanned}", flush=True)


async def _export(database: Database, folder: Path) -> None:
    """Every format in a process of its own, for its memory; then the bits against the table's."""
    async with database.connection() as connection:
        (space, *_) = await embedding_spaces.all_spaces(connection)
        cursor = connection.cursor("stored", binary=True)
        await cursor.execute("SELECT asset_id, embedding FROM sightline.embedding")
        stored = {key: vector.to_numpy().astype("<f2").tobytes() async for key, vector in cursor}
    rows = []
    for format_ in ("csv", "jsonl", "npy", "parquet"):
        path = folder / f"vectors.{format_}"
        seconds, memory = await asyncio.to_thread(_exported, database.dsn, format_, path)
        same = sum(stored[key] == vector.tobytes() for key, vector in read(path, format_))
        size = path.stat().st_size
        path.unlink()
        rows.append(
            (
                format_,
                f"{seconds:.1f}",
                f"{size / 1e6:,.0f}",
                f"{memory:,.0f}",
                f"{same:,} of {len(stored):,}",
            )
        )
    show(
        f"Export of all vectors of {space.identity.dimension} numbers",
        ("format", "s", "MB", "MiB of memory", "bits equal"),
        rows,
    )


_EXPORT = """
import asyncio, re, sys, time
from pathlib import Path
from sightline.storage.analytics.export import export
from sightline.storage.database import Database

async def main(dsn, format_, path):
    database = await Database.open(dsn)
    began = time.perf_counter()
    await export(database, "embeddings", format_, Path(path))
    taken = time.perf_counter() - began
    # Not ru_maxrss: that is the parent's, where the parent was larger.
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print(taken, int(peak) / 1024)
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


def _exported(dsn: str, format_: str, path: Path) -> tuple[float, float]:
    """Seconds and the most MiB of a process that does nothing else."""
    said = subprocess.run(
        [sys.executable, "-c", _EXPORT, dsn, format_, path],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    return float(said[0]), float(said[1])


def read(path: Path, format_: str) -> Iterator[tuple[str, np.ndarray]]:
    """Asset id and vector, float16 of shape (dimension,), as somebody else would read them."""
    match format_:
        case "csv":
            with path.open() as file:
                for row in csv.DictReader(file):
                    yield row["asset_id"], _parsed(row["embedding"])
        case "jsonl":
            with path.open() as file:
                for line in file:
                    row = json.loads(line)
                    yield row["asset_id"], _parsed(row["embedding"])
        case "npy":
            keys = Path(f"{path}.keys.jsonl").read_text().splitlines()
            for key, vector in zip(keys, np.load(path, mmap_mode="r"), strict=True):
                yield json.loads(key)["asset_id"], np.asarray(vector)
        case "parquet":
            for batch in parquet.ParquetFile(path).iter_batches():
                vectors = batch["embedding"]
                flat = vectors.flatten().to_numpy(zero_copy_only=False).astype("<f2")
                yield from zip(
                    batch["asset_id"].to_pylist(), flat.reshape(len(vectors), -1), strict=True
                )


def _parsed(text: str) -> np.ndarray:
    """As floats all: of an integer -0 the sign is lost."""
    return np.array(json.loads(text, parse_int=float), dtype="<f2")


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        yield Path(folder)


def _since(began: float) -> str:
    return f"{time.perf_counter() - began:,.0f} s"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.analytics")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--data-dir", type=Path, help="made where it is missing, and kept")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
