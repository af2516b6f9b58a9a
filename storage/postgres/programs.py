"""Runs Postgres' own programs for one cluster, as the account that owns it."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.storage.errors import StorageError
from sightline.storage.postgres.account import Account
from sightline.storage.postgres.binaries import Binaries

_log = logging.getLogger(__name__)

# Recovery after a crash takes as long as it takes: there is no deadline, only a sign of life.
SIGN_OF_LIFE_SECONDS = 10.0
_NO_DEADLINE = "--timeout=86400"
_LOG_KEPT_BYTES = 10 * 1024 * 1024
_LOG_SHOWN_LINES = 12


@dataclass(frozen=True, slots=True)
class Programs:
    """``control`` is the folder that holds the cluster (``data``) and its log (``log``).

    Programs work in that folder and get relative paths: ``pg_ctl`` hands them to a shell.
    """

    binaries: Binaries
    account: Account
    control: Path

    def initialise(self, folder: str, superuser: str, *, durable: bool) -> None:
        """Makes a cluster in the empty ``folder`` of the control folder."""
        self._run(
            "initdb",
            f"--pgdata={folder}",
            f"--username={superuser}",
            # The socket's folder admits the owner alone.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--text-search-config=simple",
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
            doing="making the database",
        )

    def start(self) -> None:
        """Starts the server; returns when it accepts connections.

        Raises StorageError with the end of its log.
        """
        log = self._log_path
        if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
            log.replace(log.with_suffix(".old"))
        self._run(
            "pg_ctl",
            "start",
            "--pgdata=data",
            "--log=log/postgres.log",
            "--wait",
            _NO_DEADLINE,
            doing="starting Postgres",
        )

    def stop(self, seconds: float) -> None:
        """Ends all sessions and the server, and waits ``seconds`` at most for that.

        Only for a server that lives: the program signals whichever process has its number.
        """
        _quietly(self._stop_command(seconds))

    def start_watchdog(self, users_lock: Path, own_lock: int, seconds: float) -> None:
        """Starts the process that stops the server behind its last user; see ``watchdog.py``."""
        script = Path(__file__).with_name("watchdog.py")
        python = [sys.executable, "-I", "-S", str(script)]
        given = [str(users_lock), str(own_lock), str(self._data)]
        command = [*python, *given, *self._stop_command(seconds)]
        _quietly(command, pass_fds=[own_lock]).check_returncode()

    @property
    def _data(self) -> Path:
        # Absolute, since the watchdog works elsewhere; no shell sees it.
        return self.control / "data"

    def _stop_command(self, seconds: float) -> list[str]:
        waiting = f"--timeout={math.ceil(seconds)}"
        return self._command("pg_ctl", "stop", f"--pgdata={self._data}", "--mode=fast", waiting)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return self.account.command(
            self.control / "log", self.binaries.program(program), *arguments
        )

    def _run(self, program: str, *arguments: str, doing: str) -> None:
        """Runs a program to its end and says now and then that it still runs."""
        # A pipe would stay open in the server and never end, so the output goes to a file.
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                self._command(program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.control,
                env=_environment(),
            )
            status = self._wait(process, doing)
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if status != 0:
            raise StorageError(f"{doing} failed: {said}\n{self._log_tail()}".strip())

    def _wait(self, process: subprocess.Popen[bytes], doing: str) -> int:
        started = time.monotonic()
        while True:
            try:
                return process.wait(timeout=SIGN_OF_LIFE_SECONDS)
            except subprocess.TimeoutExpired:
                waited = time.monotonic() - started
                _log.warning("%s, for %.0f s so far (%s)", doing, waited, self._log_path)
            except BaseException:
                process.terminate()
                process.wait()
                raise

    @property
    def _log_path(self) -> Path:
        return self.control / "log" / "postgres.log"

    def _log_tail(self) -> str:
        try:
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-_LOG_SHOWN_LINES:])


def _quietly(
    command: list[str], pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=pass_fds,
        check=False,
        cwd="/",
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """Ours without what would steer Postgres' programs (PGPORT, PGDATA, PGOPTIONS...)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
