"""Print which framework gets what from the server: ``make frameworks``.

    python -m benchmarks.frameworks [NAME...] [--transport stdio|http] [--upgrade] [--verbose]

Each framework is installed into a folder of its own under build/frameworks, in its newest release.
Its documented program (docs/examples/frameworks) runs with a scripted model over both transports.
The exit status is 1 if a check fails that the catalog does not list as a fault of the framework,
or passes although it is listed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from benchmarks import environment
from benchmarks.frameworks.album import serve_album
from benchmarks.frameworks.catalog import FRAMEWORKS
from benchmarks.frameworks.installation import InstallationError, install, uninstall, version
from benchmarks.frameworks.matrix import Row, Runner
from benchmarks.frameworks.model_endpoint import ModelEndpoint, serving
from benchmarks.frameworks.report import print_matrix, unexpected

_TRANSPORTS = ("stdio", "http")


def main() -> int:
    """Install, run and print; return the exit status."""
    options = _options()
    versions: dict[str, str] = {}
    interpreters: dict[str, list[str]] = {}
    if options.upgrade:
        for name in options.names:
            uninstall(FRAMEWORKS[name])
    for name in options.names:
        try:
            interpreters[name] = install(FRAMEWORKS[name])
            versions[name] = version(FRAMEWORKS[name])
        except InstallationError as error:
            versions[name] = f"not installed: {error}"
    rows = asyncio.run(_rows(interpreters, options))
    print_matrix(rows, versions)
    surprises = unexpected(rows)
    for line in surprises:
        print(line)
    return 1 if surprises or len(interpreters) < len(options.names) else 0


async def _rows(interpreters: dict[str, list[str]], options: argparse.Namespace) -> list[Row]:
    rows = []
    endpoint = ModelEndpoint()
    with (
        environment.temporary_settings() as settings,
        tempfile.TemporaryDirectory(prefix="sightline-frameworks-") as folder,
        serving(endpoint) as model_url,
    ):
        async with serve_album(settings, Path(folder)) as served:
            runner = Runner(served, endpoint, model_url)
            for name, interpreter in interpreters.items():
                for transport in options.transports:
                    row = await runner.row(name, FRAMEWORKS[name], interpreter, transport)
                    rows.append(row)
                    failed = {k: v.detail for k, v in row.outcomes.items() if not v.passed}
                    print(f"{name} over {transport}: {failed or 'all passed'}", flush=True)
                    if options.verbose:
                        print(row.output)
                    if options.requests:
                        file = options.requests / f"{name}-{transport}.json"
                        file.write_text(json.dumps(row.requests, indent=1))
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.frameworks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FRAMEWORKS))
    parser.add_argument("--transport", dest="transports", action="append", choices=_TRANSPORTS)
    parser.add_argument("--upgrade", action="store_true", help="install the newest releases again")
    parser.add_argument("--verbose", action="store_true", help="print the output of the programs")
    parser.add_argument("--requests", type=Path, help="folder for the requests to the model")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in FRAMEWORKS]
    if unknown:
        parser.error(f"Unknown framework {unknown[0]!r}. Available: {', '.join(FRAMEWORKS)}.")
    options.names = options.names or list(FRAMEWORKS)
    options.transports = options.transports or list(_TRANSPORTS)
    return options


if __name__ == "__main__":
    sys.exit(main())
