"""A hundred thousand vectors to files and back."""

from __future__ import annotations

import asyncio
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyarrow import parquet

from sightline.storage.db.pool import Database
from tests.support import analytics_catalog

ROWS, DIMENSION = 100_000, 256
#: What a half can be: none of these may change on the way.
EDGES = [0.0, -0.0, 1.0, -1.0, 65504.0, -65504.0, 2.0**-14, 2.0**-24, -(2.0**-24), 1 / 3]

_EXPORT = """
import asyncio, re, sys
from pathlib import Path
from sightline.storage.analytics.export import export_view
from sightline.storage.db.pool import Database

def peak():
    # Not ru_maxrss: that is the parent's, where the parent was larger.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

async def main(dsn, format_, path):
    database = await Database.open(dsn)
    spaces_format = "parquet" if format_ == "parquet" else "csv"
    await export_view(database, "embedding_spaces", spaces_format, Path(path))
    before = peak()
    rows = await export_view(database, "embeddings", format_, Path(path))
    print(rows, peak() - before)
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""


def vectors_of(path: Path, format_: str) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Asset ids with their vectors, read as anybody would."""
    if format_ == "npy":
        keys = Path(f"{path}.keys.jsonl").read_text(encoding="utf-8").splitlines()
        for key, vector in zip(keys, np.load(path, mmap_mode="r"), strict=True):
            yield json.loads(key)["asset_id"], np.asarray(vector)
    elif format_ == "parquet":
        for batch in parquet.ParquetFile(path).iter_batches():
            flat = batch["embedding"].flatten().to_numpy(zero_copy_only=False)
            yield from zip(batch["asset_id"].to_pylist(), flat.reshape(-1, DIMENSION), strict=True)
    else:
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file) if format_ == "csv" else map(json.loads, file):
                numbers = json.loads(row["embedding"], parse_int=float)
                yield row["asset_id"], np.array(numbers, dtype=np.float16)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("format_", ["csv", "jsonl", "npy", "parquet"])
async def test_a_hundred_thousand_exported_vectors_are_bit_identical(
    database: Database, tmp_path: Path, format_: str
) -> None:
    made = await analytics_catalog.load(database, ROWS, DIMENSION, index=False)
    edges = np.resize(np.array(EDGES, dtype=np.float16), DIMENSION)
    async with database.connection() as connection:
        text = "[" + ",".join(repr(float(number)) for number in edges) + "]"
        await connection.execute(
            "UPDATE embedding SET embedding = %s::halfvec WHERE asset_id = %s",
            [text, analytics_catalog.id_of(0)],
        )
    expected = {
        analytics_catalog.id_of(n): made.vectors[n].astype(np.float16)
        for n in made.with_vector.tolist()
    }
    expected[analytics_catalog.id_of(0)] = edges
    path = tmp_path / f"vectors.{format_}"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _EXPORT, database.dsn, format_, str(path)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    said = done.stdout.split()
    assert int(said[0]) == len(expected) == 99_900
    assert int(said[1]) < 64, "MiB more than before: it is to stream"
    found = 0
    for asset_id, vector in vectors_of(path, format_):
        assert vector.tobytes() == expected[asset_id].tobytes(), asset_id
        found += 1
    assert found == len(expected)
