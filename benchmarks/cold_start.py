"""Measure one-shot commands and the first results of a new server.

    python -m benchmarks cold_start -- --against /path/to/another/checkout

Each process starts with an existing data folder. The budgets are ratios to an empty MCP server over
stdio, from its start to its first call. A search beside a running server has a data folder of its
own. ``--against`` measures another version of Sightline in the same run, also with data folders of
its own, and with the same Python packages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mcp import Client, StdioServerParameters

from benchmarks import dataset
from benchmarks.tables import max_verdict, print_table

_ROOT = Path(__file__).parents[1]
_SEARCH, _SERVED, _STDIO = (
    "sightline search",
    "sightline search, server runs",
    "stdio, first search",
)
_BUDGETS = {_SEARCH: 3.0, _SERVED: 0.75, _STDIO: 5.0}
_EMPTY = (
    "from mcp.server.mcpserver import MCPServer\n"
    "server = MCPServer('empty', log_level='ERROR')\n"
    "@server.tool()\n"
    "async def empty() -> str: return ''\n"
    "server.run()"
)
_RUN = "import sys; from sightline.server.cli import main; sys.exit(main())"


_EMPTY_SERVER = ("empty MCP server, first call", "of the SDK")


@dataclass(frozen=True, slots=True)
class Cost:
    """One process: seconds of the clock, CPU seconds, and the peak of its memory in MiB."""

    seconds: float
    cpu_seconds: float
    mebibytes: float


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    trees = {"now": _ROOT} | ({"before": options.against} if options.against else {})
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        images = Path(folder) / "images"
        dataset.write_images(images, options.images, dataset.SMALL_SIZES)
        works: dict[tuple[str, str], Callable[[], Cost]] = {_EMPTY_SERVER: _measure_empty}
        async with AsyncExitStack() as servers:
            for name, tree in trees.items():
                search = [sys.executable, "-c", _RUN, "search", "a red square"]
                env, served_env = (
                    _environment(tree, Path(folder) / f"{name}-{kind}")
                    for kind in ("cold", "served")
                )
                for each in (env, served_env):
                    _run([sys.executable, "-c", _RUN, "ingest", str(images)], each)
                server = await servers.enter_async_context(Client(_serve(served_env)))
                await server.call_tool("search_images", {"query": "a red square"})
                works[_SEARCH, name] = partial(_measured, search, env)
                works[_SERVED, name] = partial(_measured, search, served_env)
                works[_STDIO, name] = partial(_first_search, _serve(env))
            costs: dict[tuple[str, str], list[Cost]] = {key: [] for key in works}
            for _ in range(options.rounds):  # interleaved, so that a load peak affects all
                for key, work in works.items():
                    costs[key].append(await asyncio.to_thread(work))
    _report(costs)


def _serve(env: dict[str, str]) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=["-c", _RUN, "serve"], env=env)


def _report(costs: dict[tuple[str, str], list[Cost]]) -> None:
    empty = _median(costs[_EMPTY_SERVER])
    rows = []
    for (what, name), each in costs.items():
        middle = _median(each)
        ratio = middle.seconds / empty.seconds
        verdict = max_verdict(ratio, _BUDGETS[what]) if name == "now" else f"{ratio:.2f}"
        rows.append(
            (
                f"{what} ({name})",
                f"{middle.seconds:.2f}",
                f"{middle.cpu_seconds:.2f}",
                f"{middle.mebibytes:.0f}",
                verdict,
            )
        )
    columns = ("", "seconds", "CPU s", "peak MiB", "ratio to empty")
    print_table("Cold starts, medians", columns, rows)


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(each.seconds for each in costs),
        statistics.median(each.cpu_seconds for each in costs),
        statistics.median(each.mebibytes for each in costs),
    )


def _measure_empty() -> Cost:
    return _first_call(
        StdioServerParameters(command=sys.executable, args=["-c", _EMPTY]), "empty", {}
    )


def _first_search(server: StdioServerParameters) -> Cost:
    return _first_call(server, "search_images", {"query": "a red square"})


def _first_call(server: StdioServerParameters, tool: str, arguments: dict[str, str]) -> Cost:
    """Measure in a process of its own, because the usage of children has only a maximum."""
    program = (
        "import asyncio, json, sys, time; from mcp import Client, StdioServerParameters\n"
        "async def run(command, args, env, tool, arguments):\n"
        "    start = time.perf_counter()\n"
        "    async with Client(StdioServerParameters(command=command, args=args, env=env)) as c:\n"
        "        result = await c.call_tool(tool, arguments)\n"
        "        assert not result.is_error, result.content\n"
        "        return time.perf_counter() - start\n"
        "seconds = asyncio.run(run(*json.loads(sys.argv[1])))\n"
        "import resource; used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))"
    )
    call = json.dumps([server.command, server.args, server.env, tool, arguments])
    done = subprocess.run(
        [sys.executable, "-c", program, call], stdout=subprocess.PIPE, check=True, text=True
    )
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def _measured(command: list[str], env: dict[str, str]) -> Cost:
    start = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _run(command: list[str], env: dict[str, str]) -> None:
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def _environment(tree: Path, folder: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
    return inherited | {
        "PYTHONPATH": str(tree / "src"),
        "SIGHTLINE_DATA_DIR": str(folder),
        "SIGHTLINE_INGEST__OCR": "off",
        "SIGHTLINE_LOG__LEVEL": "error",
        "SIGHTLINE_STARTUP_TIMEOUT_SECONDS": "300",
    }


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks cold_start")
    parser.add_argument("--against", type=Path, help="another checkout of Sightline")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(arguments)
