"""Measure what one principal notices while another one floods the server.

    python -m benchmarks hostile -- --seconds 60 --floods 6 9

A real server with its own Postgres has the material of two principals. bob makes ordinary calls at
a fixed pace: first alone, then beside processes that only burn CPU, then during each flood of
alice. The floods and the CPU burners run in processes of their own. The burners have the priority
of the server and the floods a lower one, so that a flood competes by what the server does for it,
and not by its client.

The ratio to the quiet p95 includes plain competition for the cores. The other ratio is to the p95
beside burners of as many cores as the server uses during the flood, interpolated: above one, the
flood costs bob more than an equal but harmless load.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.hostile import neighbor as neighbors
from benchmarks.hostile.floods import FLOODS, run_flood
from benchmarks.hostile.hostile_server import Sampler, Stage, running_stage
from benchmarks.hostile.neighbor import Measured
from benchmarks.tables import max_verdict, print_table

MAX_RATIO = 3.0
MAX_MEMORY_MIB = 4_096
_MIN_QUIET_CALLS = 200
_WARM_UP_CALLS = 5
_FIRST_WARM_UP_CALLS = 40
_SETTLED_CORES = 0.15
_MAX_SETTLE_SECONDS = 60.0
_EXTRA_SECONDS = 120.0
#: Works for its share of each 20 ms.
_BURN = """
import sys, time
share = float(sys.argv[1])
while True:
    start = time.perf_counter()
    while time.perf_counter() - start < share * 0.02:
        pass
    time.sleep((1 - share) * 0.02)
"""


@dataclass(frozen=True)
class Phase:
    """What bob measured while something else ran, and what the server used."""

    name: str
    measured: Measured
    outcomes: Counter[str]
    #: Cores that the server and its Postgres used.
    cores: float
    peak_memory_mib: float
    disk_growth_mib: float


@dataclass(frozen=True)
class Baselines:
    """p95 of bob alone and beside burners, by the cores that are used together."""

    quiet: Phase
    busy: Sequence[Phase]
    #: Cores that the burners of each busy phase used.
    burned: Sequence[float]

    def expected_p95(self, cores: float) -> float:
        """Return the p95 in milliseconds if only the use of the cores mattered."""
        points = [0.0, *self.burned]
        values = [each.measured.percentile(95) for each in (self.quiet, *self.busy)]
        return float(np.interp(max(0.0, cores - self.quiet.cores), points, values))


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark; it blocks the event loop."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _exit)  # stops the server and the other processes
    floods = chosen(options.floods)
    with running_stage(options.images) as stage:
        baselines = measure_baselines(stage, options.seconds)
        _print_baselines(baselines)
        phases = []
        for name in floods:
            phases.append(measure_flood(stage, name, options.seconds))
            _print_flood(phases[-1])
        _print_floods(phases, baselines)


def _exit(*_: object) -> None:
    raise SystemExit("The benchmark was terminated.")


def chosen(numbers: Sequence[str]) -> list[str]:
    """Return the floods with these numbers, all without numbers."""
    unknown = set(numbers) - {name.split()[0] for name in FLOODS}
    if unknown:
        available = ", ".join(name.split()[0] for name in FLOODS)
        raise SystemExit(f"Unknown flood {sorted(unknown)[0]!r}. Available: {available}.")
    return [name for name in FLOODS if not numbers or name.split()[0] in numbers]


def measure_baselines(
    stage: Stage, seconds: float, levels: Sequence[float] = (1.0, 2.0)
) -> Baselines:
    """Measure bob alone and beside burners of 1 and 2 cores."""
    with _pool() as bob:
        bob.submit(neighbors.work, stage.neighbor, 0.0, _FIRST_WARM_UP_CALLS).result()
    quiet = _measure(stage, "alone", seconds, min_calls=_MIN_QUIET_CALLS)
    busy = []
    for cores in levels:
        with _burners(cores):
            busy.append(_measure(stage, f"beside {cores:g} burned cores", seconds))
    return Baselines(quiet, busy, list(levels))


def measure_flood(stage: Stage, name: str, seconds: float) -> Phase:
    """Measure bob during a flood; then wait until the server is idle again."""
    phase = _measure(stage, name, seconds, flood=name)
    _settle(stage)
    return phase


def _measure(
    stage: Stage, name: str, seconds: float, *, min_calls: int = 0, flood: str | None = None
) -> Phase:
    outcomes: Counter[str] = Counter()
    with _pool() as bob, _pool() as alice:
        # Imports and first connections are not part of the measurement.
        bob.submit(neighbors.work, stage.neighbor, 0.0, _WARM_UP_CALLS).result()
        alice.submit(chosen, ()).result()
        attacker = alice.submit(os.getpid).result()
        with Sampler(stage) as sampler:
            if flood is not None:
                attack = alice.submit(run_flood, flood, stage.target, seconds)
            work = bob.submit(
                neighbors.work, stage.neighbor, seconds, min_calls, zlib.crc32(name.encode())
            )
            measured = work.result()
            if flood is not None:
                try:
                    outcomes = attack.result(timeout=_EXTRA_SECONDS)
                except TimeoutError:
                    outcomes["the flood did not end"] += 1
                    os.kill(attacker, signal.SIGKILL)
    growth = max(sampler.peak_disk_mib, stage.disk_mib()) - sampler.start_disk_mib
    return Phase(name, measured, outcomes, sampler.cores, sampler.peak_memory_mib, growth)


def _settle(stage: Stage) -> None:
    """Wait until the server does nothing, so that floods do not mix."""
    until = time.monotonic() + _MAX_SETTLE_SECONDS
    while time.monotonic() < until:
        with Sampler(stage) as sampler:
            time.sleep(2)
        if sampler.cores < _SETTLED_CORES:
            return


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@contextmanager
def _burners(cores: float) -> Iterator[None]:
    """Use so many cores in other processes, at the priority of the server."""
    count = int(np.ceil(cores))
    command = [sys.executable, "-c", _BURN, str(cores / count)]
    burners = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def _print_baselines(baselines: Baselines) -> None:
    quiet = baselines.quiet.measured.percentile(95)
    print_table(
        "bob without a flood",
        ("bob", "calls", "lost", "p50 ms", "p95 ms", "p95 / alone", "add s", "answer s",
         "connect s", "server cores", "peak MiB"),
        [
            (
                each.name,
                str(each.measured.calls),
                str(each.measured.lost.total()),
                f"{each.measured.percentile(50):.0f}",
                f"{each.measured.percentile(95):.0f}",
                f"{each.measured.percentile(95) / quiet:.1f}",
                *_slowest(each.measured),
                f"{each.cores:.2f}",
                f"{each.peak_memory_mib:.0f}",
            )
            for each in (baselines.quiet, *baselines.busy)
        ],
    )  # fmt: skip


def _print_flood(phase: Phase) -> None:
    outcomes = ", ".join(f"{count:,} {what}" for what, count in phase.outcomes.most_common(6))
    print(f"\n{phase.name}: alice: {outcomes or 'no call'}")
    for problem, count in phase.measured.lost.most_common(5):
        print(f"  lost by bob, {count} times: {problem}")


def _print_floods(phases: Sequence[Phase], baselines: Baselines) -> None:
    quiet = baselines.quiet.measured.percentile(95)
    print_table(
        "bob during each flood; the slowest add_images, answer_question and new connection in s",
        ("flood", "alice's calls", "bob's", "lost", "p95 ms", "p95 / alone", "p95 / CPU alone",
         "add s", "answer s", "connect s", "server cores", "peak MiB", "disk +MiB"),
        [
            (
                each.name,
                f"{each.outcomes.total():,}",
                str(each.measured.calls),
                str(each.measured.lost.total()),
                f"{each.measured.percentile(95):.0f}",
                f"{each.measured.percentile(95) / quiet:.1f}",
                f"{each.measured.percentile(95) / baselines.expected_p95(each.cores):.1f}",
                *_slowest(each.measured),
                f"{each.cores:.2f}",
                f"{each.peak_memory_mib:.0f}",
                f"{each.disk_growth_mib:.0f}",
            )
            for each in phases
        ],
    )  # fmt: skip
    if phases:
        ratio = max(each.measured.percentile(95) for each in phases) / quiet
        memory = max(each.peak_memory_mib for each in phases)
        lost = sum(each.measured.lost.total() for each in phases)
        print(f"\nlargest p95 / alone: {max_verdict(ratio, MAX_RATIO)}")
        print(f"lost calls: {max_verdict(lost, 0)}")
        print(f"peak memory, MiB: {max_verdict(memory, MAX_MEMORY_MIB)}")


def _slowest(measured: Measured) -> list[str]:
    return [f"{measured.slowest(kind) / 1000:.1f}" for kind in neighbors.SLOW_KINDS]


def _options(arguments: list[str] | None) -> argparse.Namespace:
    available = ", ".join(FLOODS)
    parser = argparse.ArgumentParser(prog="benchmarks hostile")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each flood")
    parser.add_argument(
        "--floods", nargs="+", default=[], metavar="NUMBER", help=f"only these: {available}"
    )
    parser.add_argument("--images", type=int, default=200, help="of each principal")
    return parser.parse_args(arguments)
