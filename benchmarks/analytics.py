"""Measure the ten SQL questions of docs/how-to/analyze.md on generated assets.

    python -m benchmarks analytics -- --rows 100000 --data-dir /tmp/analytics

Each question runs as an agent runs it, with the read-only role, after `sightline analyze`. The
query plans are printed below the times. EXPLAIN does not show the work inside functions, so the
number of scans of each table and index is printed too. Then all vectors are exported in each format
and compared bit by bit. A named data folder is kept and reused.
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

from benchmarks.tables import print_table
from sightline.server.database import schema_migration
from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.analyst_roles import ensure_query_role
from sightline.storage.db.pool import Database
from sightline.storage.postgres import EmbeddedPostgres
from sightline.storage.records import embedding_spaces
from tests.support import analytics_catalog

_PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "analyze.md"
_SCANS = (
    "SELECT relname::text, pg_stat_get_xact_numscans(oid) FROM pg_class "
    "WHERE relnamespace = 'sightline'::regnamespace AND relkind IN ('r', 'i')"
)


@dataclass(frozen=True)
class QuestionResult:
    """A question with its number of rows, duration, plan, and scans by relation."""

    title: str
    rows: int
    milliseconds: float
    plan: list[str]
    scans: dict[str, int]


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with (
        _open_folder(options.data_dir) as folder,
        EmbeddedPostgres(folder, durable=False) as server,
    ):
        dsn = server.dsn()
        is_new_database = schema_migration.current(dsn) is None
        schema_migration.upgrade(dsn)
        database = await Database.open(dsn, statement_timeout_seconds=36_000)
        if is_new_database:
            start = time.perf_counter()
            await analytics_catalog.load(database, options.rows, options.dimension)
            print(f"{options.rows:,} assets loaded and indexed in {_elapsed(start)}")
        async with database.connection() as connection:
            role = await ensure_query_role(connection)
        analyst = make_conninfo(dsn, user=role, options="-c search_path=analytics,sightline_vector")
        if is_new_database:
            duplicates = next(each for each in questions() if "duplicates(" in each[1])
            result = await _ask(analyst, *duplicates)
            print(f"{result.title}, before analyze: {result.milliseconds:,.0f} ms")
            start = time.perf_counter()
            for done in await cluster_analysis.cluster_collections(database):
                print(f"{done.assets:,} in {done.k} clusters of {done.collection}", flush=True)
            print(f"all collections clustered: {_elapsed(start)}")
            start = time.perf_counter()
            compared = await cluster_analysis.find_near_duplicates(database)
            print(f"{compared:,} assets compared: {_elapsed(start)}")
        results = [await _ask(analyst, *each) for each in questions()]
        _print(results)
        await _export(database, folder)
        await database.close()


def questions() -> list[tuple[str, str]]:
    """Return the title and SQL of each question of the page."""
    page = _PAGE.read_text(encoding="utf-8")
    return re.findall(r"^([^\n]+):\n\n```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


async def _ask(dsn: str, title: str, statement: str) -> QuestionResult:
    """Run a statement twice in a new session and measure the second run."""
    async with await AsyncConnection.connect(dsn) as connection:
        await connection.execute("SET TRANSACTION READ ONLY")
        await connection.execute("SET LOCAL jit = off")
        await (await connection.execute(statement.encode())).fetchall()
        before = dict(await (await connection.execute(_SCANS)).fetchall())
        start = time.perf_counter()
        rows = await (await connection.execute(statement.encode())).fetchall()
        seconds = time.perf_counter() - start
        after = await (await connection.execute(_SCANS)).fetchall()
        plan = await (
            await connection.execute(b"EXPLAIN (COSTS off) " + statement.encode())
        ).fetchall()
    scans = {name: count - before.get(name, 0) for name, count in after}
    return QuestionResult(
        title,
        len(rows),
        1000 * seconds,
        [row[0] for row in plan],
        {k: v for k, v in scans.items() if v},
    )


def _print(results: list[QuestionResult]) -> None:
    print_table(
        "SQL questions, second run",
        ("question", "rows", "ms"),
        [(each.title, f"{each.rows:,}", f"{each.milliseconds:,.0f}") for each in results],
    )
    for each in results:
        print(f"\n{each.title}")
        print("\n".join(f"    {line}" for line in each.plan))
        scanned = ", ".join(f"{name} {count:,}x" for name, count in sorted(each.scans.items()))
        print(f"    scans: {scanned}", flush=True)


async def _export(database: Database, folder: Path) -> None:
    """Export each format in a new process and compare the vectors with the table."""
    async with database.connection() as connection:
        (space, *_) = await embedding_spaces.list_spaces(connection)
        cursor = connection.cursor("stored", binary=True)
        await cursor.execute("SELECT asset_id, embedding FROM sightline.embedding")
        stored = {key: vector.to_numpy().astype("<f2").tobytes() async for key, vector in cursor}
    rows = []
    for format_ in ("csv", "jsonl", "npy", "parquet"):
        path = folder / f"vectors.{format_}"
        seconds, memory = await asyncio.to_thread(_export_in_process, database.dsn, format_, path)
        equal = sum(stored[key] == vector.tobytes() for key, vector in load_vectors(path, format_))
        size = path.stat().st_size
        path.unlink()
        rows.append(
            (
                format_,
                f"{seconds:.1f}",
                f"{size / 1e6:,.0f}",
                f"{memory:,.0f}",
                f"{equal:,} of {len(stored):,}",
            )
        )
    print_table(
        f"Export of all vectors, dimension {space.identity.dimension}",
        ("format", "s", "MB", "peak MiB", "equal vectors"),
        rows,
    )


_EXPORT = """
import asyncio, re, sys, time
from pathlib import Path
from sightline.storage.analytics.export import export_view
from sightline.storage.db.pool import Database

async def main(dsn, format_, path):
    database = await Database.open(dsn)
    start = time.perf_counter()
    await export_view(database, "embeddings", format_, Path(path))
    seconds = time.perf_counter() - start
    # Not ru_maxrss: a child inherits the value of a larger parent.
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    print(seconds, int(peak) / 1024)
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


def _export_in_process(dsn: str, format_: str, path: Path) -> tuple[float, float]:
    """Export in a process; return the seconds and the peak MiB."""
    output = subprocess.run(
        [sys.executable, "-c", _EXPORT, dsn, format_, path],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    return float(output[0]), float(output[1])


def load_vectors(path: Path, format_: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield asset ids and vectors, float16 of shape (dimension,)."""
    match format_:
        case "csv":
            with path.open() as file:
                for row in csv.DictReader(file):
                    yield row["asset_id"], _parse_vector(row["embedding"])
        case "jsonl":
            with path.open() as file:
                for line in file:
                    row = json.loads(line)
                    yield row["asset_id"], _parse_vector(row["embedding"])
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


def _parse_vector(text: str) -> np.ndarray:
    """Parse all numbers as floats: an integer -0 loses its sign."""
    return np.array(json.loads(text, parse_int=float), dtype="<f2")


@contextmanager
def _open_folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        yield Path(folder)


def _elapsed(start: float) -> str:
    return f"{time.perf_counter() - start:,.0f} s"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks analytics")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--data-dir", type=Path, help="created if missing, and kept")
    return parser.parse_args(arguments)
