"""CPU time of a search, compared with another version of Sightline.

    python -m benchmarks search_cost -- --against /path/to/another/checkout

Each version has a data folder and a server of its own, with all processes of the server and of its
database counted. The versions take turns, so that a busy machine affects both. Each text is new.
Each picture is a new copy of one of the album, whose pictures are near-duplicates of each other:
the worst case for the comparison of pictures. ``--others`` searches by pictures that have no copy.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from mcp import Client
from PIL import Image, ImageEnhance

from benchmarks import dataset
from benchmarks.tables import max_verdict, print_table

_ROOT = Path(__file__).parents[1]
_RUN = "import sys; from sightline.server.cli import main; sys.exit(main())"
_BUDGET = 1.1
_OTHER_SEED = 1_000


@dataclass(frozen=True, slots=True)
class Server:
    """A server with the folder of its database."""

    url: str
    process: psutil.Process
    folder: Path

    def cpu_seconds(self) -> float:
        """Return what all processes of server and database used, also ended ones."""
        total = 0.0
        for process in self._processes():
            with process.oneshot():
                times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def _processes(self) -> Iterator[psutil.Process]:
        found = {self.process.pid: self.process}
        for process in psutil.process_iter(["cwd"]):  # Postgres runs in the data folder
            if Path(process.info["cwd"] or "/").is_relative_to(self.folder):
                found[process.pid] = process
        for process in list(found.values()):
            found |= {each.pid: each for each in process.children(recursive=True)}
        return iter(found.values())


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    trees = {"now": _ROOT} | ({"before": options.against} if options.against else {})
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder, ExitStack() as stack:
        images = Path(folder) / "images"
        dataset.write_images(images, options.images, dataset.SMALL_SIZES)
        servers = {
            name: stack.enter_context(_serve(tree, Path(folder) / name, images))
            for name, tree in trees.items()
        }
        arguments_of = {"text": _texts(), "picture": _pictures(images, others=options.others)}
        rows = []
        for callers, kind in itertools.product(options.callers, options.kinds):
            costs: dict[str, list[float]] = {name: [] for name in servers}
            for turn in range(options.rounds + 1):  # the first one fills caches
                for name, server in servers.items():
                    calls = [next(arguments_of[kind]) for _ in range(options.calls)]
                    cost = await _cost(server, calls, callers)
                    if turn:
                        costs[name].append(cost)
            rows.append(_row(f"by {kind}, {callers} callers", costs))
    columns = ("CPU ms of a search", *trees, "ratio of each round", "median")
    print_table("Server and database", columns, rows)


def _row(title: str, costs: dict[str, list[float]]) -> tuple[str, ...]:
    cells = [f"{1000 * statistics.median(each):.1f}" for each in costs.values()]
    if len(costs) == 1:
        return title, *cells, "", ""
    ratios = [now / before for now, before in zip(costs["now"], costs["before"], strict=True)]
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return title, *cells, each, max_verdict(statistics.median(ratios), _BUDGET)


async def _cost(server: Server, calls: list[dict[str, Any]], callers: int) -> float:
    """Return the CPU seconds of a call, with that many calls at once."""
    waiting = iter(calls)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(server.url))
            for _ in range(min(callers, len(calls)))
        ]

        async def search(client: Client) -> None:
            for arguments in waiting:
                result = await client.call_tool("search_images", arguments)
                if result.is_error:
                    raise RuntimeError(str(result.content))

        before = server.cpu_seconds()
        await asyncio.gather(*map(search, clients))
        return (server.cpu_seconds() - before) / len(calls)


def _texts() -> Iterator[dict[str, Any]]:
    rng = random.Random(7)
    for number in itertools.count():
        yield {"query": f"{dataset.caption(rng)} {number}"}


def _pictures(images: Path, *, others: bool) -> Iterator[dict[str, Any]]:
    """Yield pictures that are new: copies of those of the album, or others."""
    rng = random.Random(7)
    if others:
        folder = images.with_name("others")
        dataset.write_images(folder, 50, dataset.SMALL_SIZES, seed=_OTHER_SEED)
        images = folder
    paths = sorted(images.rglob("*.jpg"))
    while True:
        with Image.open(rng.choice(paths)) as image:
            edited = ImageEnhance.Brightness(image.convert("RGB")).enhance(rng.uniform(0.8, 1.2))
        file = io.BytesIO()
        edited.save(file, "JPEG", quality=rng.randint(70, 90))
        yield {"image": "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()}


@contextmanager
def _serve(tree: Path, folder: Path, images: Path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
    env = inherited | {
        "PYTHONPATH": str(tree.resolve() / "src"),
        "SIGHTLINE_DATA_DIR": str(folder),
        "SIGHTLINE_INGEST__OCR": "off",
        "SIGHTLINE_LOG__LEVEL": "error",
        "SIGHTLINE_HTTP__PORT": str(port),
        "SIGHTLINE_ENCODER__MAX_CACHED_TEXTS": "0",
        "SIGHTLINE_RATE_LIMIT__MAX_CALLS_PER_MINUTE": "0",
    }
    command = [sys.executable, "-c", _RUN]
    subprocess.run(
        [*command, "ingest", str(images)], env=env, check=True, stdout=subprocess.DEVNULL
    )
    server = subprocess.Popen([*command, "serve", "--http"], env=env)
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(
            transport=httpx.HTTPTransport(retries=100), base_url=url, timeout=300
        ) as client:
            while client.get("/readyz").status_code != httpx.codes.OK:
                if server.poll() is not None:
                    raise RuntimeError("The server exited. See its log.")
                time.sleep(0.2)
        yield Server(f"{url}/mcp", psutil.Process(server.pid), folder)
    finally:
        server.terminate()
        server.wait()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks search_cost", description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout of Sightline")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--kinds", nargs="+", default=["text", "picture"])
    parser.add_argument("--calls", type=int, default=192, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", action="store_true", help="pictures that have no copy")
    return parser.parse_args(arguments)
