"""Run all or some benchmarks: ``python -m benchmarks [NAME...] [-- OPTIONS]``.

Options after ``--`` are for the one named benchmark.
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
#: Run only by name: they need a quiet machine or many minutes.
ON_REQUEST = (
    *("load", "hostile", "self_evaluation", "search_path", "search_cost", "agent_tasks"),
    *("picture_variants", "typed_queries", "query_forms", "photograph_weakness"),
    *("pdf_samples", "pdf_text", "ocr_quality", "media_cost", "picture_cost", "public_files"),
    *("cold_start", "small_machine", "web_app", "web_screenshots"),
    "quantized_models",
)


def main() -> int:
    """Run the benchmarks one after the other; each prints its tables."""
    own, _, options = " ".join(sys.argv[1:]).partition("-- ")
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    known = (*NAMES, *ON_REQUEST)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args(own.split()).names or list(NAMES)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"Unknown benchmark {unknown[0]!r}. Available: {', '.join(known)}.")
    if options and len(names) != 1:
        parser.error("Options after -- need exactly one benchmark.")
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} before the start, "
        f"Python {platform.python_version()}"
    )
    for name in names:
        start = time.perf_counter()
        asyncio.run(import_module(f"benchmarks.{name}").main(options.split()))
        print(f"  ({name} took {time.perf_counter() - start:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
