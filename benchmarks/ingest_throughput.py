"""Measure ``sightline ingest`` against the limits of the machine.

    python -m benchmarks ingest_throughput
    python -m benchmarks ingest_throughput -- --count 10000 --kill
    python -m benchmarks ingest_throughput -- --count 500 --against /path/to/another/checkout

The limits are measured in the same run on the same files: decoding and preprocessing on all cores
alone, and the encoder's forward pass alone in batches. The budget applies to the slower limit, as
on a machine whose encoder has its own device. If the encoder uses the same cores, both costs add
up; the ratio to that sum is also printed. OCR is off, except for the optional last measurement.

With ``--against``, only the commands of both versions are compared, in turns. Their CPU time is
that of the command and its workers, without Postgres.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from PIL import Image
from psycopg import sql

from benchmarks import dataset, environment
from benchmarks.tables import min_verdict, print_table
from sightline.server.config import Settings
from sightline.server.database.provider import open_database
from sightline.server.models.image_text.preprocess import Preprocess
from sightline.storage.blobs import BlobStore
from sightline.storage.db.queries import fetch_value
from sightline.storage.interfaces import Pixels
from sightline.storage.machine import available_cores
from sightline.storage.maintenance.integrity_check import check

BUDGET = 0.9
_BATCH = 64
_RUN = "import sys; from sightline.server.cli import main; sys.exit(main())"
_TABLES = ("source", "asset", "thumbnail", "passage", "embedding")


@dataclass(frozen=True)
class Limits:
    """Images per second: decode and preprocess on all cores; encoder forward pass."""

    decode: float
    encode: float

    @property
    def slower(self) -> float:
        return min(self.decode, self.encode)

    @property
    def combined(self) -> float:
        """The limit if both share the cores."""
        return 1 / (1 / self.decode + 1 / self.encode)


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        images = Path(folder) / "images"
        size = await asyncio.to_thread(dataset.write_images, images, options.count)
        print(f"{options.count:,} JPEGs of {size / options.count / 1024:,.0f} KiB on average")
        if options.against:
            await asyncio.to_thread(_compare, options, images)
            return
        with environment.temporary_settings() as settings:
            limits = await asyncio.to_thread(_limits, settings, images, options.sample)
            await asyncio.to_thread(_throughput, settings, images, limits, options.count)
            await _verify(settings, options.count)
        if options.kill:
            with environment.temporary_settings() as settings:
                await asyncio.to_thread(_kill_and_resume, settings, images, options.count)
                await _verify(settings, options.count)
        if options.ocr:
            with environment.temporary_settings(ingest__ocr="auto") as settings:
                await asyncio.to_thread(_measure_ocr, settings, Path(folder) / "read", options.ocr)


def _compare(options: argparse.Namespace, images: Path) -> None:
    trees = {"now": Path(__file__).parents[1], "before": options.against}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in trees}
    for number in range(options.rounds):  # in turns, so that a load peak affects both
        for name, tree in trees.items():
            with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
                env = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")} | {
                    "PYTHONPATH": str(tree / "src"),
                    "SIGHTLINE_DATA_DIR": folder,
                    "SIGHTLINE_INGEST__OCR": options.ocr_mode,
                    "SIGHTLINE_OCR": options.ocr_mode,  # its name in 904e240
                    "SIGHTLINE_LOG__LEVEL": "error",
                    "SIGHTLINE_STARTUP_TIMEOUT_SECONDS": "600",
                }
                start = time.perf_counter()
                command = [sys.executable, "-c", _RUN, "ingest", str(images), "--json"]
                process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
                _, status, used = os.wait4(process.pid, 0)
                assert os.waitstatus_to_exitcode(status) == 0, (name, number)
                cpu = used.ru_utime + used.ru_stime
                costs[name].append((time.perf_counter() - start, cpu))
    medians = {
        name: [statistics.median(column) for column in zip(*each, strict=True)]
        for name, each in costs.items()
    }
    ratios = [now / old for now, old in zip(medians["now"], medians["before"], strict=True)]
    print_table(
        f"sightline ingest of {options.count} pictures, OCR {options.ocr_mode}, medians",
        ("", "seconds", "CPU s"),
        [
            *((name, *(f"{value:.1f}" for value in each)) for name, each in medians.items()),
            ("ratio", *(f"{ratio:.2f}" for ratio in ratios)),
        ],
    )


def _limits(settings: Settings, folder: Path, sample: int) -> Limits:
    model = environment.load_raw_model(settings)
    files = sorted(folder.rglob("*.jpg"))
    files = files[:: max(1, len(files) // sample)][:sample]
    work = partial(_decode, preprocess=model.preprocess)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(available_cores(), mp_context=spawn) as pool:
        list(pool.map(work, files[:16]))  # Wait until the processes run.
        start = time.perf_counter()
        pixels = list(pool.map(work, files, chunksize=8))
        decode = len(files) / (time.perf_counter() - start)
    model.encode_images(pixels[:_BATCH])
    batches = [pixels[first : first + _BATCH] for first in range(0, len(pixels), _BATCH)]
    start = time.perf_counter()
    for batch in batches:
        model.encode_images(batch)
    return Limits(decode, len(pixels) / (time.perf_counter() - start))


def _decode(path: Path, preprocess: Preprocess) -> Pixels:
    with Image.open(path) as image:
        return preprocess(image)


def _throughput(settings: Settings, folder: Path, limits: Limits, count: int) -> None:
    start = time.perf_counter()
    summary = environment.ingest(settings, folder)
    command_seconds = time.perf_counter() - start
    second = environment.ingest(settings, folder)
    assert summary["added"] == count, summary
    assert second["unchanged"] == count, second
    rate = summary["images_per_second"]
    print_table(
        "Ingest, images per second",
        ("", "images/s", "ratio"),
        [
            ("sightline ingest", f"{rate:.1f}", ""),
            ("  decode and preprocess, all cores", f"{limits.decode:.1f}", ""),
            ("  encoder forward", f"{limits.encode:.1f}", ""),
            (
                "  slower of the two limits",
                f"{limits.slower:.1f}",
                min_verdict(rate / limits.slower, BUDGET),
            ),
            (
                "  both on the same cores",
                f"{limits.combined:.1f}",
                f"{rate / limits.combined:.2f}",
            ),
        ],
    )
    stages: dict[str, float] = summary["stages"]
    print_table(
        f"Time by stage, in seconds ({summary['workers']} workers; stages overlap)",
        ("", "seconds"),
        [
            ("command", f"{command_seconds:.1f}"),
            ("ingest", f"{summary['seconds']:.1f}"),
            *((f"  {name}", f"{seconds:.1f}") for name, seconds in stages.items()),
            ("second run, no changes", f"{second['seconds']:.1f}"),
        ],
    )
    print(
        f"  peak memory: {summary['peak_rss_mib']:.0f} MiB, and "
        f"{summary['worker_peak_rss_mib']:.0f} MiB in the largest worker"
    )


def _kill_and_resume(settings: Settings, folder: Path, count: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_ingest_and_report, args=(settings, folder, sender))
    process.start()
    done = 0
    while done < count // 2:
        done = receiver.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    rest = environment.ingest(settings, folder)
    print(
        f"\nKilled with SIGKILL when {done:,} of {count:,} were reported as done; the second run "
        f"took {rest['seconds']:.1f} s: {rest['unchanged']:,} unchanged, {rest['added']:,} added"
    )
    assert rest["unchanged"] >= done, "files that were reported as done are lost"
    assert rest["unchanged"] + rest["added"] == count


def _ingest_and_report(settings: Settings, folder: Path, sender: Pipe) -> None:
    from sightline.server.cli.library.ingest import ingest_paths

    asyncio.run(
        ingest_paths(settings, [folder], "bench", lambda progress: sender.send(progress.done))
    )


async def _verify(settings: Settings, count: int) -> None:
    """Check that counts agree, and that there are no duplicates and no orphans."""
    async with open_database(settings) as database:
        async with database.connection() as connection:
            rows = {
                table: await fetch_value(
                    connection, sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
                )
                for table in _TABLES
            }
            distinct = await fetch_value(connection, "SELECT count(DISTINCT sha256) FROM asset")
        findings = await check(database, BlobStore(settings.data_dir))
    listed = ", ".join(f"{number:,} {table}" for table, number in rows.items())
    print(f"  in the database: {listed}; {distinct:,} distinct; {len(findings)} findings")
    for finding in findings:
        print(f"    {finding}")
    assert rows["source"] == rows["asset"] == rows["thumbnail"] == distinct == count
    assert rows["embedding"] == 2 * count  # Images and captions; file names have no vectors.
    assert not [finding for finding in findings if finding.severity == "error"]


def _measure_ocr(settings: Settings, folder: Path, count: int) -> None:
    dataset.write_images(folder, count)
    summary = environment.ingest(settings, folder)
    print(
        f"\nWith OCR, {count} images: "
        f"{summary['images_per_second']:.1f} images/s; "
        + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary["stages"].items())
    )


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks ingest_throughput")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--sample", type=int, default=400, help="files for measuring the limits")
    parser.add_argument("--kill", action="store_true", help="kill the run halfway and resume it")
    parser.add_argument("--ocr", type=int, default=0, help="images to measure with OCR")
    parser.add_argument("--against", type=Path, help="another checkout of Sightline")
    parser.add_argument("--rounds", type=int, default=3, help="of --against")
    parser.add_argument("--ocr-mode", default="off", help="of --against")
    return parser.parse_args(arguments)
