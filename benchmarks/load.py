"""Many clients at once over HTTP, and one server for a long time.

    python -m benchmarks load -- --clients 1 8 64 256 --seconds 20 --soak 180

Each client is a real MCP client with a connection of its own that searches by words, a new query
each time, as fast as it is answered. Clients run in processes of their own, apart from the server.
Throughput and latencies are given as ratios to one client too: those travel between machines. A
soak of eight clients follows, who rest ``--rest`` seconds after each call; its memory slope is a
line through what the server's process took.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
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
from benchmarks.tables import show
from sightline.server.config.settings import Settings

_MOST_IN_A_PROCESS = 64
_SOAKING_CLIENTS = 8
_SAMPLE_SECONDS = 2.0
_CALL_SECONDS = 60.0
#: Memory still grows while caches, pools and threads come up.
_WARM_SHARE = 0.25


@dataclass
class Outcome:
    """What some clients saw: seconds of each answered call, and the other calls by their error."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        """Take in what others saw."""
        self.seconds += other.seconds
        self.errors += other.errors

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of the answered calls took at most."""
        return 1000 * float(np.percentile(self.seconds, share)) if self.seconds else float("nan")


async def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    with environment.settings() as chosen, tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        dataset.draw(pictures, options.pictures, dataset.SMALL)
        summary = environment.ingest(chosen, pictures, os.environ)
        print(f"{summary['pictures']:,} pictures ingested")
        with _server(chosen) as (url, process):
            _in_processes(url, 1, 3.0)  # caches, connections, the first forward
            rows = []
            alone: tuple[float, float] | None = None
            for clients in options.clients:
                outcome = _in_processes(url, clients, options.seconds)
                rate = len(outcome.seconds) / options.seconds
                alone = alone or (rate, outcome.percentile(50))
                rows.append(_row(clients, outcome, rate, alone, process))
            show(
                f"search_images by words, {options.seconds:.0f} s each",
                ("clients", "calls/s", "p50 ms", "p95 ms", "p99 ms", "calls/s to one client's",
                 "p50 to one client's", "errors", "server MiB"),
                rows,
            )  # fmt: skip
            if options.soak:
                _soak(url, process, options.soak, options.rest)


def _row(
    clients: int,
    outcome: Outcome,
    rate: float,
    alone: tuple[float, float],
    process: psutil.Process,
) -> tuple[str, ...]:
    errors = ", ".join(f"{count} {what}" for what, count in outcome.errors.most_common(3))
    return (
        str(clients),
        f"{rate:.1f}",
        *(f"{outcome.percentile(share):.0f}" for share in (50, 95, 99)),
        f"{rate / alone[0]:.2f}",
        f"{outcome.percentile(50) / alone[1]:.1f}",
        errors or "none",
        f"{_memory(process):.0f}",
    )


def _soak(url: str, process: psutil.Process, seconds: float, rest: float) -> None:
    """Memory of the server over time, while some clients search and rest."""
    samples: list[tuple[float, float]] = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        running = pool.submit(_clients, url, _SOAKING_CLIENTS, seconds, 0, rest)
        began = time.monotonic()
        while not running.done():
            samples.append((time.monotonic() - began, _memory(process)))
            time.sleep(_SAMPLE_SECONDS)
        outcome = running.result()
    warm = [each for each in samples if each[0] >= _WARM_SHARE * seconds]
    minutes, mib = np.array([each[0] / 60 for each in warm]), np.array([each[1] for each in warm])
    slope, start = np.polyfit(minutes, mib, 1)
    per_call = 1024 * slope * seconds / 60 / max(1, len(outcome.seconds))
    print(
        f"\nsoak: {_SOAKING_CLIENTS} clients, {seconds:.0f} s, {len(outcome.seconds):,} calls, "
        f"{sum(outcome.errors.values())} errors; server at {start:.0f} MiB and "
        f"{slope:+.2f} MiB a minute ({per_call:+.2f} KiB a call)"
    )


def _in_processes(url: str, clients: int, seconds: float) -> Outcome:
    """``clients`` at once, at most 64 in one process."""
    shares = [
        min(_MOST_IN_A_PROCESS, clients - start) for start in range(0, clients, _MOST_IN_A_PROCESS)
    ]
    whole = Outcome()
    with ProcessPoolExecutor(len(shares), multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(_clients, url, share, seconds, number)
            for number, share in enumerate(shares)
        ]
        for each in running:
            whole.add(each.result())
    return whole


def _clients(url: str, count: int, seconds: float, process: int, rest: float = 0.0) -> Outcome:
    """In a process of its own: connect all, then search until the time is over."""
    return asyncio.run(_all(url, count, seconds, process, rest))


async def _all(url: str, count: int, seconds: float, process: int, rest: float) -> Outcome:
    outcome, connected, go = Outcome(), asyncio.Semaphore(0), asyncio.Event()

    async def one(number: int) -> None:
        chance = random.Random(1000 * process + number)
        try:
            async with Client(url) as client:
                connected.release()
                await go.wait()
                while time.monotonic() < until:
                    await _search(client, f"{dataset.caption(chance)} {chance.random()}", outcome)
                    await asyncio.sleep(rest)
        except Exception as error:  # noqa: BLE001 - counted, whatever it is
            outcome.errors[f"connection: {_named(error)}"] += 1
            connected.release()

    until = float("inf")
    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    for _ in range(count):
        await connected.acquire()
    until = time.monotonic() + seconds
    go.set()
    await asyncio.gather(*tasks)
    return outcome


async def _search(client: Client, query: str, outcome: Outcome) -> None:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            result = await client.call_tool("search_images", {"query": query})
    except Exception as error:  # noqa: BLE001 - counted, whatever it is
        outcome.errors[_named(error)] += 1
        return
    if result.is_error:
        outcome.errors[str(getattr(result.content[0], "text", "refused"))[:60]] += 1
    else:
        outcome.seconds.append(time.perf_counter() - began)


def _named(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__


@contextmanager
def _server(chosen: Settings) -> Iterator[tuple[str, psutil.Process]]:
    """``sightline serve --http``, ready to search."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = environment.environment(chosen, os.environ) | {
        "SIGHTLINE_HTTP_PORT": str(port),
        "SIGHTLINE_TEXT_CACHE_ENTRIES": "0",
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
                raise SystemExit("the server has ended; its log says why")
            time.sleep(0.5)
        yield f"{base}/mcp", psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait()


def _memory(process: psutil.Process) -> float:
    """MiB of the server and of the processes that decode for it; not of Postgres."""
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
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of clients")
    parser.add_argument("--soak", type=float, default=180.0, help="seconds; 0 leaves it out")
    parser.add_argument("--rest", type=float, default=0.0, help="seconds after each call of it")
    parser.add_argument("--pictures", type=int, default=200)
    return parser.parse_args(arguments)
