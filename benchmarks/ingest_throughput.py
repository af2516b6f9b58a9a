"""``sightline ingest`` against the machine's own limits, and what a kill half-way leaves.

    python -m benchmarks ingest_throughput
    python -m benchmarks ingest_throughput -- --count 10000 --kill

The limits are measured in the same run over the same files: decoding and preprocessing on all
cores and nothing else, and the encoder's forward alone in batches. The budget is about the slower
of the two, as on a machine whose encoder has a device of its own. Where the encoder runs on the
same cores, the two add up: the ratio to that sum is printed beside it. OCR is off but for a last
line, which says what it costs.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import dataset, environment
from benchmarks.tables import show, verdict
from sightline.server.config.settings import Settings
from sightline.server.database.provider import DatabaseProvider
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.storage.blobs import ObjectStore
from sightline.storage.ingest.ingest_options import available_cores
from sightline.storage.interfaces import Pixels
from sightline.storage.maintenance.integrity_check import check

BUDGET = 0.9
_BATCH = 64
_TABLES = ("source", "asset", "thumbnail", "passage", "embedding")


@dataclass(frozen=True)
class Limits:
    """Pictures a second: decoding and preprocessing on all cores, the encoder's forward."""

    decode: float
    encode: float

    @property
    def slower(self) -> float:
        return min(self.decode, self.encode)

    @property
    def together(self) -> float:
        """Where both share the cores."""
        return 1 / (1 / self.decode + 1 / self.encode)


async def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        pictures = Path(folder) / "pictures"
        size = await asyncio.to_thread(dataset.draw, pictures, options.count)
        print(f"{options.count:,} JPEGs of {size / options.count / 1024:,.0f} KiB on average")
        with environment.settings() as chosen:
            limits = await asyncio.to_thread(_limits, chosen, pictures, options.sample)
            await asyncio.to_thread(_throughput, chosen, pictures, limits, options.count)
            await _verify(chosen, options.count)
        if options.kill:
            with environment.settings() as chosen:
                await asyncio.to_thread(_kill_and_resume, chosen, pictures, options.count)
                await _verify(chosen, options.count)
        if options.ocr:
            with environment.settings(ocr="auto") as chosen:
                await asyncio.to_thread(_with_ocr, chosen, Path(folder) / "read", options.ocr)


def _limits(chosen: Settings, folder: Path, sample: int) -> Limits:
    model = environment.raw_model(chosen)
    files = sorted(folder.rglob("*.jpg"))
    files = files[:: max(1, len(files) // sample)][:sample]
    work = partial(_decode, preprocess=model.preprocess)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(available_cores(), mp_context=spawn) as pool:
        list(pool.map(work, files[:16]))  # until the processes are up
        began = time.perf_counter()
        pixels = list(pool.map(work, files, chunksize=8))
        decode = len(files) / (time.perf_counter() - began)
    model.encode_images(pixels[:_BATCH])
    batches = [pixels[at : at + _BATCH] for at in range(0, len(pixels), _BATCH)]
    began = time.perf_counter()
    for batch in batches:
        model.encode_images(batch)
    return Limits(decode, len(pixels) / (time.perf_counter() - began))


def _decode(path: Path, preprocess: Preprocess) -> Pixels:
    with Image.open(path) as image:
        return preprocess(image)


def _throughput(chosen: Settings, folder: Path, limits: Limits, count: int) -> None:
    began = time.perf_counter()
    first = environment.ingest(chosen, folder, os.environ)
    whole = time.perf_counter() - began
    again = environment.ingest(chosen, folder, os.environ)
    assert first["added"] == count, first
    assert again["unchanged"] == count, again
    rate = first["pictures_per_second"]
    show(
        "Ingest, pictures a second",
        ("", "pictures/s", "ratio"),
        [
            ("sightline ingest", f"{rate:.1f}", ""),
            ("  decode and preprocess, all cores", f"{limits.decode:.1f}", ""),
            ("  encoder forward", f"{limits.encode:.1f}", ""),
            (
                "  to the slower of the two",
                f"{limits.slower:.1f}",
                verdict(rate / limits.slower, BUDGET, most=False),
            ),
            (
                "  to both on the same cores",
                f"{limits.together:.1f}",
                f"{rate / limits.together:.2f}",
            ),
        ],
    )
    stages: dict[str, float] = first["stages"]
    show(
        f"Where the time went, in seconds ({first['workers']} workers; stages overlap)",
        ("", "seconds"),
        [
            ("whole command", f"{whole:.1f}"),
            ("ingest", f"{first['seconds']:.1f}"),
            *((f"  {name}", f"{seconds:.1f}") for name, seconds in stages.items()),
            ("again, nothing changed", f"{again['seconds']:.1f}"),
        ],
    )
    print(
        f"  peak memory: {first['peak_rss_mib']:.0f} MiB, and "
        f"{first['worker_peak_rss_mib']:.0f} MiB in the largest worker"
    )


def _kill_and_resume(chosen: Settings, folder: Path, count: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_ingesting, args=(chosen, folder, there))
    process.start()
    done = 0
    while done < count // 2:
        done = here.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    rest = environment.ingest(chosen, folder, os.environ)
    print(
        f"\nKilled with SIGKILL when {done:,} of {count:,} were reported done; the second run took "
        f"{rest['seconds']:.1f} s: {rest['unchanged']:,} unchanged, {rest['added']:,} added"
    )
    assert rest["unchanged"] >= done, "what was reported done was lost"
    assert rest["unchanged"] + rest["added"] == count


def _ingesting(chosen: Settings, folder: Path, told: Pipe) -> None:
    from sightline.server.cli.ingest import ingest_paths

    asyncio.run(ingest_paths(chosen, [folder], "bench", lambda progress: told.send(progress.done)))


async def _verify(chosen: Settings, count: int) -> None:
    """Counts are equal, nothing is there twice, nothing hangs in the air."""
    databases = DatabaseProvider(chosen)
    try:
        database = await databases.open()
        rows: dict[str, int] = {}
        async with database.connection() as connection:
            for table in _TABLES:
                cursor = await connection.execute(f"SELECT count(*) FROM {table}")
                rows[table] = _number(await cursor.fetchone())
            cursor = await connection.execute("SELECT count(DISTINCT sha256) FROM asset")
            distinct = _number(await cursor.fetchone())
        findings = await check(database, ObjectStore(chosen.data_dir))
    finally:
        await databases.close()
    listed = ", ".join(f"{number:,} {table}" for table, number in rows.items())
    print(f"  in the database: {listed}; {distinct:,} different; {len(findings)} findings")
    for finding in findings:
        print(f"    {finding}")
    assert rows["source"] == rows["asset"] == rows["thumbnail"] == distinct == count
    assert rows["embedding"] == 2 * count  # pictures and captions; names of files have none
    assert not [finding for finding in findings if finding.severity == "error"]


def _number(row: Sequence[Any] | None) -> int:
    assert row is not None
    return int(row[0])


def _with_ocr(chosen: Settings, folder: Path, count: int) -> None:
    dataset.draw(folder, count)
    summary = environment.ingest(chosen, folder, os.environ)
    print(
        f"\nWith OCR where it pays, over {count} of such pictures: "
        f"{summary['pictures_per_second']:.1f} pictures/s; "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary["stages"].items())
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks ingest_throughput")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--sample", type=int, default=400, help="files that limits are measured on")
    parser.add_argument("--kill", action="store_true", help="kill -9 half-way, and resume")
    parser.add_argument("--ocr", type=int, default=0, help="pictures to ingest with OCR as well")
    return parser.parse_args(arguments)
