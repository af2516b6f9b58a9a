from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sightline.storage.errors import ConfigurationError, StorageError
from sightline.storage.postgres import EmbeddedPostgres, locks, pidfile
from sightline.storage.postgres.account import Account, account_for

# Opens the database of a folder, says so, and keeps it open until its input ends.
HOLDER = """
import sys
from pathlib import Path
from sightline.storage.postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]), durable=False) as server:
    print(server.dsn(), flush=True)
    sys.stdin.read()
"""

# Leaves a child behind that has inherited all it had open, and uses the database again.
FORKER = """
import os, sys
from pathlib import Path
from sightline.storage.postgres import EmbeddedPostgres
reading, writing = os.pipe()
with EmbeddedPostgres(Path(sys.argv[1]), durable=False):
    if os.fork() == 0:
        os.close(writing)
        os.read(reading, 1)  # until the parent is gone
        os._exit(0)
with EmbeddedPostgres(Path(sys.argv[1]), durable=False):
    pass
"""


class Holder:
    """Another process that uses the database of a folder."""

    def __init__(self, folder: Path, *prefix: str) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-c", HOLDER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def dsn(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def finish(self) -> int:
        self._process.communicate()
        return self._process.returncode

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    held = []

    def start(folder: Path, *prefix: str) -> Holder:
        held.append(Holder(folder, *prefix))
        return held[-1]

    yield start
    for holder in held:
        if holder._process.returncode is None:
            holder.kill()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder with a database in it, for tests that leave it stopped and sound."""
    with tempfile.TemporaryDirectory(prefix="sightline-tests-") as name:
        yield Path(name)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts as a terminal's programs get them; those in a shell's background ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def running(folder: Path) -> pidfile.Postmaster | None:
    return pidfile.find(folder / "postgres" / "data")


def wait_for_watchdog(folder: Path) -> None:
    """Returns when the watchdog has done its duty and gone."""
    with locks.exclusive(folder / "postgres" / "watchdog.lock", os.geteuid()):
        pass


def answer(dsn: str, query: str = "SELECT 1") -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_the_database_is_created_on_first_use_and_kept(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert answer(server.dsn(), "SELECT lower('É')") == "é"
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("CREATE TABLE kept (x integer)")
    assert running(tmp_path) is None
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert answer(server.dsn(), "SELECT count(*) FROM kept") == 0


@pytest.mark.parametrize(
    "name",
    ["a b,c'\"$(exit 1)`日本語", "x" * 120],
    ids=["every character", "too long for a socket"],
)
def test_the_data_folder_can_have_any_name(tmp_path: Path, name: str) -> None:
    with EmbeddedPostgres(tmp_path / name, durable=False) as server:
        assert answer(server.dsn()) == 1
        folder = Path(conninfo_to_dict(server.dsn())["host"])
        assert folder.stat().st_mode & 0o077 == 0
        assert folder.parent.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_the_server_listens_only_on_a_private_socket(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as server:
        assert answer(server.dsn(), "SHOW listen_addresses") == ""
    assert (folder / "postgres").stat().st_mode & 0o077 == 0


def test_processes_share_a_server_and_the_last_one_stops_it(
    folder: Path, hold: Callable[..., Holder]
) -> None:
    first, second = hold(folder), hold(folder)
    assert answer(first.dsn()) == 1
    dsn = second.dsn()
    assert first.finish() == 0
    assert answer(dsn) == 1
    assert second.finish() == 0
    assert running(folder) is None


def test_uses_within_one_process_share_a_server(folder: Path) -> None:
    first = EmbeddedPostgres(folder, durable=False)
    second = EmbeddedPostgres(folder, durable=False)
    first.close()
    first.close()
    assert answer(second.dsn()) == 1
    second.close()
    assert running(folder) is None


def test_a_forked_child_does_not_block_stop_and_start(
    folder: Path,
) -> None:
    subprocess.run(
        [sys.executable, "-c", FORKER, str(folder)], stdin=subprocess.PIPE, check=True, cwd="/"
    )
    assert running(folder) is None


def test_a_closed_use_starts_no_server(folder: Path) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    server.close()
    with pytest.raises(StorageError, match="was closed"):
        server.ensure_running()
    assert running(folder) is None


def test_the_server_survives_a_kill_of_the_process_that_started_it(
    folder: Path, hold: Callable[..., Holder]
) -> None:
    owner = hold(folder)
    owner.dsn()
    with EmbeddedPostgres(folder, durable=False) as server:
        owner.kill()
        assert answer(server.dsn()) == 1
    assert running(folder) is None


def test_the_server_stops_when_its_last_user_is_killed(
    folder: Path, hold: Callable[..., Holder]
) -> None:
    owner = hold(folder)
    owner.dsn()
    assert running(folder) is not None
    owner.kill()
    wait_for_watchdog(folder)
    assert running(folder) is None


def test_a_killed_server_is_restarted_with_its_data(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as server:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("SET synchronous_commit = on")
            connection.execute("CREATE TABLE IF NOT EXISTS kept (x integer)")
        found = running(folder)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        server.ensure_running()
        assert answer(server.dsn(), "SELECT count(*) FROM kept") == 0


def test_a_pid_file_with_a_reused_process_id_is_stale(
    folder: Path,
) -> None:
    with EmbeddedPostgres(folder, durable=False):
        lines = (folder / "postgres/data/postmaster.pid").read_text().splitlines()
    stale = folder / "postgres/data/postmaster.pid"
    stale.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
    with EmbeddedPostgres(folder, durable=False) as server:
        assert answer(server.dsn()) == 1


def test_the_watchdog_does_not_signal_a_reused_process_id(
    folder: Path,
) -> None:
    control = folder / "postgres"
    stale = control / "data" / "postmaster.pid"
    with EmbeddedPostgres(folder, durable=False):
        held = locks.open_lock(control / "users.lock", os.geteuid())
        locks.wait_shared(held, report=lambda _: None)
    found = running(folder)
    assert found is not None
    lines = stale.read_text().splitlines()
    sleep = account_for(control).command(control / "log", shutil.which("sleep") or "", "600")
    with subprocess.Popen(sleep, start_new_session=True) as bystander:
        os.kill(found.pid, signal.SIGKILL)
        while running(folder) is not None:
            os.sched_yield()
        stale.write_text("\n".join([str(bystander.pid), *lines[1:], ""]))
        locks.release(held)
        wait_for_watchdog(folder)
        assert bystander.poll() is None
        bystander.kill()


def test_close_returns_if_the_server_does_not_stop(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedPostgres(folder, durable=False, stop_seconds=1)
    found = running(folder)
    assert found is not None
    os.kill(found.pid, signal.SIGSTOP)
    try:
        server.close()
    finally:
        os.kill(found.pid, signal.SIGCONT)
    assert f"the Postgres of {folder} has been stopping" in caplog.text
    with EmbeddedPostgres(folder, durable=False) as again:  # waits for the end of the first
        assert answer(again.dsn()) == 1
    assert running(folder) is None


def test_close_waits_at_most_the_timeout_for_another_stopper(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedPostgres(folder, durable=False, stop_seconds=0.1)
    fcntl.flock(server._users, fcntl.LOCK_UN)  # as between the two steps of its own try
    with locks.exclusive(folder / "postgres" / "users.lock", os.geteuid()):
        server.close()
    assert f"the Postgres of {folder} has been stopping" in caplog.text
    wait_for_watchdog(folder)
    assert running(folder) is None


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_waiting_open_at_once(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False):
        pass
    wait_for_watchdog(folder)
    interrupt = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    with locks.exclusive(folder / "postgres" / "users.lock", os.geteuid()):
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            EmbeddedPostgres(folder, durable=False)


def test_a_removed_socket_is_reported_with_the_process(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False):
        found = running(folder)
        assert found is not None
        for path in (folder / "postgres" / "run").glob(".s.PGSQL.*"):
            path.unlink()
        with pytest.raises(StorageError, match=f"kill -INT {found.pid}"):
            EmbeddedPostgres(folder, durable=False)
    assert running(folder) is None


def test_an_incomplete_cluster_is_created_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres" / "data.partial"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert answer(server.dsn()) == 1


def test_concurrent_processes_can_start_the_server(
    tmp_path: Path, hold: Callable[..., Holder]
) -> None:
    holders = [hold(tmp_path) for _ in range(4)]
    assert {answer(holder.dsn()) for holder in holders} == {1}
    assert [holder.finish() for holder in holders] == [0] * 4
    assert running(tmp_path) is None


def test_a_cluster_of_another_version_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("11\n")
    with pytest.raises(ConfigurationError, match=r"needs Postgres 11, .* has 18"):
        EmbeddedPostgres(tmp_path)


def test_an_unusable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file/data' cannot be used: Not a directory"):
        EmbeddedPostgres(tmp_path / "file" / "data")


def test_a_failed_start_shows_the_log(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False):
        settings = folder / "postgres/data/postgresql.auto.conf"
        sound = settings.read_text()
    settings.write_text("no_such_setting = on\n")
    with pytest.raises(StorageError, match="no_such_setting"):
        EmbeddedPostgres(folder, durable=False)
    settings.write_text(sound)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_runs_the_server_with_only_the_read_capability(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False):
        found = running(folder)
        assert found is not None
        status = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{found.pid}/status").read_text().splitlines()
        )
    uids = set(status["Uid"].split())
    assert len(uids) == 1
    assert "0" not in uids
    assert status["Groups"].split() == []
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 1 << 2  # DAC_READ_SEARCH
    assert status["NoNewPrivs"].strip() == "1"
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("mode", "capability"),
    [(0o755, 2), (0o700, 1)],
    ids=["installed for all", "installed for root alone"],
)
def test_programs_in_a_private_folder_run_with_one_capability(
    tmp_path: Path, mode: int, capability: int
) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    nobody = Account(65534, 65534)
    nobody.create_folder(tmp_path / "private" / "data")
    program = tmp_path / "private" / "program"
    program.write_text("#!/bin/sh\nid -u\ngrep -h CapEff /proc/self/status\n")
    program.chmod(mode)
    said = subprocess.run(
        nobody.command(tmp_path / "private" / "data", str(program)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[0] == "65534"
    assert int(said[2], 16) == 1 << capability


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_opens_the_database_of_a_user_as_that_user(
    tmp_path: Path, hold: Callable[..., Holder]
) -> None:
    nobody = Account(65534, 65534)
    nobody.create_folder(tmp_path / "home")
    folder = tmp_path / "home" / "data"
    user = hold(folder, *nobody.command(tmp_path / "home", sys.executable)[:-1])
    assert answer(user.dsn()) == 1
    assert user.finish() == 0
    with EmbeddedPostgres(folder, durable=False) as server:
        assert answer(server.dsn()) == 1
    assert {path.stat().st_uid for path in (folder / "postgres").rglob("*")} == {65534}
    again = hold(folder, *nobody.command(tmp_path / "home", sys.executable)[:-1])
    assert answer(again.dsn()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir(mode=0o755)
    (tmp_path / "home").mkdir()
    nobody = Account(65534, 65534)
    nobody.create_folder(tmp_path / "home")
    refused = subprocess.run(
        nobody.command(tmp_path / "home", sys.executable, "-c", HOLDER, str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert "belongs to 'root' and this process runs as 'nobody'" in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_root_without_ptrace_shares_and_stops_the_server(
    folder: Path, hold: Callable[..., Holder]
) -> None:
    as_in_a_container = ("setpriv", "--bounding-set", "-sys_ptrace")
    first = hold(folder, *as_in_a_container)
    dsn = first.dsn()
    second = hold(folder, *as_in_a_container)
    assert second.dsn() == dsn
    assert first.finish() == 0
    assert answer(dsn) == 1
    assert second.finish() == 0
    assert running(folder) is None
    wait_for_watchdog(folder)


def test_public_has_no_function_with_side_effects(postgres_server: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        callable_ = {
            row[0]
            for row in connection.execute(
                "SELECT proname FROM pg_proc WHERE provolatile = 'v' "
                "AND pronamespace = 'pg_catalog'::regnamespace "
                "AND has_function_privilege('public', oid, 'EXECUTE')"
            )
        }
        temporary = connection.execute(
            "SELECT has_database_privilege('public', current_database(), 'TEMPORARY')"
        ).fetchone()
    assert "random" in callable_
    for name in (
        "pg_advisory_lock",
        "pg_sleep",
        "pg_notify",
        "lo_create",
        "pg_logical_emit_message",
    ):
        assert name not in callable_
    assert temporary == (False,)


def test_the_rights_are_revoked_again_at_each_use(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(
                "GRANT EXECUTE ON FUNCTION pg_sleep, pg_try_advisory_lock(bigint) TO PUBLIC"
            )
            connection.execute("GRANT TEMPORARY ON DATABASE sightline TO PUBLIC")
        server.ensure_running()
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            assert connection.execute(
                "SELECT has_function_privilege('public', 'pg_sleep(float8)', 'EXECUTE'), "
                "has_function_privilege('public', 'pg_try_advisory_lock(bigint)', 'EXECUTE'), "
                "has_database_privilege('public', 'sightline', 'TEMPORARY')"
            ).fetchone() == (False, False, False)
