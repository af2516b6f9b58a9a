"""Ingest, search and answer under a memory limit, on two cores.

    python -m benchmarks small_machine -- --memory 1024 2048 4096 --images 300

Each limit is that of a control group with all processes of Sightline: the command, its workers and
Postgres. The pictures are synthetic, about half with text that OCR reads. Peaks are without the
cache of files, which the kernel can take back. Needs root and Linux.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters

from benchmarks import synthetic_album
from benchmarks.control_group import ControlGroup
from benchmarks.tables import print_table

_RUN = (sys.executable, "-c", "import sys; from sightline.server.cli import main; sys.exit(main())")
_CORES = 2
_QUERY = "a white van"
_QUESTION = "What color is the van?"


@dataclass(slots=True)
class Outcome:
    """What one limit allowed: the steps in order, with seconds, peak and result."""

    mebibytes: int
    steps: list[tuple[str, float, float, str]] = field(default_factory=list)
    killed: int = 0


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    options = _options(arguments)
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        album = options.album
        if album is None:
            album = Path(folder) / "album" / synthetic_album.ALBUM
            synthetic_album.render(album.parent, count=options.images, seed=0)
        count = sum(each.suffix == ".jpg" for each in album.rglob("*"))
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(before)[:_CORES])
        for mebibytes in options.memory:
            data = Path(folder) / str(mebibytes)
            outcomes.append(await _measure(mebibytes, album, _environment(options.tree, data)))
        os.sched_setaffinity(0, before)
    print_table(
        f"{count} pictures with OCR on {_CORES} cores",
        ("memory, MiB", "step", "seconds", "peak MiB", "result"),
        [
            (f"{each.mebibytes:,}", step, f"{seconds:.1f}", f"{peak:.0f}", result)
            for each in outcomes
            for step, seconds, peak, result in each.steps
        ],
    )
    for each in outcomes:
        print(f"  {each.mebibytes} MiB: {each.killed} processes killed for lack of memory")


async def _measure(mebibytes: int, album: Path, env: dict[str, str]) -> Outcome:
    outcome = Outcome(mebibytes)
    with ControlGroup(mebibytes) as group:
        for name, command in (
            ("ingest", ["ingest", str(album), "--json"]),
            ("search", ["search", _QUERY, "--json"]),
        ):
            start = time.perf_counter()
            with group.peak() as peaks:
                done = await asyncio.to_thread(
                    subprocess.run,
                    group.command([*_RUN, *command]),
                    env=env,
                    stdout=subprocess.PIPE,
                    check=False,
                )
            seconds = time.perf_counter() - start
            result = _summary(name, done.stdout) if done.returncode == 0 else "failed"
            outcome.steps.append((name, seconds, peaks[0], result))
        start = time.perf_counter()
        with group.peak() as peaks:
            answer = await _answer(group.command([*_RUN, "serve"]), env)
        outcome.steps.append(("serve, answer", time.perf_counter() - start, peaks[0], answer))
        outcome.killed = group.killed
    return outcome


def _summary(name: str, output: bytes) -> str:
    value: Any = json.loads(output)
    if name == "ingest":
        return f"{value['added']} added, {value['failed']} failed"
    return f"{len(value['hits'])} hits"


async def _answer(command: list[str], env: dict[str, str]) -> str:
    """Search and ask with a server over stdio; return the answer."""
    server = StdioServerParameters(command=command[0], args=command[1:], env=env)
    try:
        async with Client(server) as client:
            for tool, arguments in (
                ("search_images", {"query": _QUERY}),
                ("answer_question", {"question": _QUESTION}),
            ):
                result = await client.call_tool(tool, arguments)
                if result.is_error:
                    return f"{tool} failed"
            answer: dict[str, Any] = json.loads(result.content[0].text)
    except Exception as error:  # noqa: BLE001 - a killed server is a result
        return f"failed: {type(error).__name__}"
    return str(answer["status"])


def _environment(tree: Path, data: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SIGHTLINE_")}
    return inherited | {
        "PYTHONPATH": str(tree / "src"),
        "SIGHTLINE_DATA_DIR": str(data),
        "SIGHTLINE_VLM__MODEL": "builtin",
        "SIGHTLINE_LOG__LEVEL": "error",
        "SIGHTLINE_STARTUP_TIMEOUT_SECONDS": "300",
        "SIGHTLINE_LIMITS__ANSWER_TIMEOUT_SECONDS": "300",
    }


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks small_machine")
    parser.add_argument("--memory", type=int, nargs="+", default=[1024, 2048, 4096], metavar="MIB")
    parser.add_argument("--images", type=int, default=300, help="images to render (%(default)s)")
    parser.add_argument("--album", type=Path, help="use this folder of images instead")
    tree = Path(__file__).parents[1]
    parser.add_argument("--tree", type=Path, default=tree, help="checkout of Sightline to measure")
    return parser.parse_args(arguments)
