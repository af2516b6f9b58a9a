"""Measure many concurrent HTTP clients, and one server over a long time.

    python -m benchmarks load -- --clients 1 8 64 256 --seconds 20 --soak 180

Each client is a real MCP client with its own connection. It sends text searches, each with a new
query, without a pause. The clients run in processes separate from the server. Throughput and
latency are also printed as ratios to one client, which are comparable between machines. In the
soak test, eight clients search and pause ``--rest`` seconds after each call; the memory slope is a
line fitted to the memory of the server process.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from mcp import Client

from benchmarks import dataset, environment
from benchmarks.tables import print_table
from sightline.server.config import Settings

_MAX_CLIENTS_PER_PROCESS = 64
_SOAK_CLIENTS = 8
_SAMPLE_INTERVAL_SECONDS = 2.0
_CALL_TIMEOUT_SECONDS = 60.0
#: Share of the soak test that is ignored while caches, pools and threads fill.
_WARM_UP_SHARE = 0.25


@dataclass
class CallStatistics:
    """Durations of the successful calls, and the number of failed calls by error."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: CallStatistics) -> None:
        """Add the calls of other clients."""
        self.seconds += other.seconds
        self.errors += other.errors

    def percentile(self, percent: float) -> float:
        """Return a percentile of the durations, in milliseconds."""
        return 1000 * float(np.percentile(self.seconds, percent)) if self.seconds else float("nan")


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    with environment.temporary_settings() as settings, tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        dataset.write_images(images, options.images, dataset.SMALL_SIZES)
        summary = environment.ingest(settings, images)
        print(f"{summary['images']:,} images ingested")
        with _server(settings) as (url, process):
            _run_in_processes(url, 1, 3.0)  # Warm up caches and connections.
            rows = []
            single: tuple[float, float] | None = None
            for clients in options.clients:
                statistics = _run_in_processes(url, clients, options.seconds)
                rate = len(statistics.seconds) / options.seconds
                single = single or (rate, statistics.percentile(50))
                rows.append(_row(clients, statistics, rate, single, process))
            print_table(
                f"search_images by text, {options.seconds:.0f} s each",
                ("clients", "calls/s", "p50 ms", "p95 ms", "p99 ms", "calls/s / one client",
                 "p50 / one client", "errors", "server MiB"),
                rows,
            )  # fmt: skip
            if options.soak:
                _soak(url, process, options.soak, options.rest)


def _row(
    clients: int,
    statistics: CallStatistics,
    rate: float,
    single: tuple[float, float],
    process: psutil.Process,
) -> tuple[str, ...]:
    errors = ", ".join(f"{count} {error}" for error, count in statistics.errors.most_common(3))
    return (
        str(clients),
        f"{rate:.1f}",
        *(f"{statistics.percentile(share):.0f}" for share in (50, 95, 99)),
        f"{rate / single[0]:.2f}",
        f"{statistics.percentile(50) / single[1]:.1f}",
        errors or "none",
        f"{_memory(process):.0f}",
    )


def _soak(url: str, process: psutil.Process, seconds: float, rest: float) -> None:
    """Measure the memory of the server while clients search and pause."""
    samples: list[tuple[float, float]] = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        running = pool.submit(_run_clients, url, _SOAK_CLIENTS, seconds, 0, rest)
        start_time = time.monotonic()
        while not running.done():
            samples.append((time.monotonic() - start_time, _memory(process)))
            time.sleep(_SAMPLE_INTERVAL_SECONDS)
        statistics = running.result()
    warm = [each for each in samples if each[0] >= _WARM_UP_SHARE * seconds]
    minutes, mib = np.array([each[0] / 60 for each in warm]), np.array([each[1] for each in warm])
    slope, intercept = np.polyfit(minutes, mib, 1)
    per_call = 1024 * slope * seconds / 60 / max(1, len(statistics.seconds))
    print(
        f"\nsoak: {_SOAK_CLIENTS} clients, {seconds:.0f} s, {len(statistics.seconds):,} calls, "
        f"{sum(statistics.errors.values())} errors; server at {intercept:.0f} MiB and "
        f"{slope:+.2f} MiB per minute ({per_call:+.2f} KiB per call)"
    )


def _run_in_processes(url: str, clients: int, seconds: float) -> CallStatistics:
    """Run concurrent clients, at most 64 per process."""
    shares = [
        min(_MAX_CLIENTS_PER_PROCESS, clients - start)
        for start in range(0, clients, _MAX_CLIENTS_PER_PROCESS)
    ]
    total = CallStatistics()
    with ProcessPoolExecutor(len(shares), multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(_run_clients, url, share, seconds, number)
            for number, share in enumerate(shares)
        ]
        for each in running:
            total.add(each.result())
    return total


def _run_clients(
    url: str, count: int, seconds: float, process: int, rest: float = 0.0
) -> CallStatistics:
    """Connect all clients, then search until the time is over."""
    return asyncio.run(_run_clients_async(url, count, seconds, process, rest))


async def _run_clients_async(
    url: str, count: int, seconds: float, process: int, rest: float
) -> CallStatistics:
    statistics, connected, go = CallStatistics(), asyncio.Semaphore(0), asyncio.Event()

    async def run_client(number: int) -> None:
        rng = random.Random(1000 * process + number)
        try:
            async with Client(url) as client:
                connected.release()
                await go.wait()
                while time.monotonic() < until:
                    await _search(client, f"{dataset.caption(rng)} {rng.random()}", statistics)
                    await asyncio.sleep(rest)
        except Exception as error:  # noqa: BLE001 - counted as an error
            statistics.errors[f"connection: {_root_name(error)}"] += 1
            connected.release()

    until = float("inf")
    tasks = [asyncio.create_task(run_client(number)) for number in range(count)]
    for _ in range(count):
        await connected.acquire()
    until = time.monotonic() + seconds
    go.set()
    await asyncio.gather(*tasks)
    return statistics


async def _search(client: Client, query: str, statistics: CallStatistics) -> None:
    start_time = time.perf_counter()
    try:
        async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
            result = await client.call_tool("search_images", {"query": query})
    except Exception as error:  # noqa: BLE001 - counted as an error
        statistics.errors[_root_name(error)] += 1
        return
    if result.is_error:
        statistics.errors[str(getattr(result.content[0], "text", "error"))[:60]] += 1
    else:
        statistics.seconds.append(time.perf_counter() - start_time)


def _root_name(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__


@contextmanager
def _server(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """Start ``sightline serve --http`` and wait until it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = environment.command_environment(settings) | {
        "SIGHTLINE_HTTP__PORT": str(port),
        "SIGHTLINE_ENCODER__MAX_CACHED_TEXTS": "0",
    }
    server = subprocess.Popen([environment.SIGHTLINE, "serve", "--http"], env=variables)
    try:
        base = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                if httpx.get(f"{base}/readyz", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if server.poll() is not None:
                raise SystemExit("The server exited. See its log.")
            time.sleep(0.5)
        yield f"{base}/mcp", psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait()


def _memory(process: psutil.Process) -> float:
    """Return the MiB of the server and its decode workers, without Postgres."""
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            if "ingest.worker" in " ".join(child.cmdline()):
                total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--seconds", type=float, default=20.0, help="per number of clients")
    parser.add_argument("--soak", type=float, default=180.0, help="soak test, 0: skip it")
    parser.add_argument("--rest", type=float, default=0.0, help="pause in the soak test")
    parser.add_argument("--images", type=int, default=200)
    return parser.parse_args(arguments)
