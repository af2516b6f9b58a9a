"""``python -m benchmarks [NAME...] [-- OPTIONS]``: all of them, or those that are named.

Options after ``--`` go to the one benchmark that is named.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import time
from importlib import import_module

NAMES = ("handshake", "search_latency", "ingest_throughput", "recall", "analytics")
#: Run where they are named alone: they take a machine for themselves.
ON_REQUEST = ("load",)


def main() -> int:
    """Run them one after the other; each prints its own tables."""
    ours, _, theirs = " ".join(sys.argv[1:]).partition("-- ")
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    known = (*NAMES, *ON_REQUEST)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args(ours.split()).names or list(NAMES)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(known)}")
    if theirs and len(names) != 1:
        parser.error("options after -- need exactly one benchmark")
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before the start, "
        f"Python {platform.python_version()}"
    )
    for name in names:
        began = time.perf_counter()
        asyncio.run(import_module(f"benchmarks.{name}").main(theirs.split()))
        print(f"  ({name} took {time.perf_counter() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
