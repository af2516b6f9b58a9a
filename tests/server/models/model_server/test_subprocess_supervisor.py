from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sightline.server.models.model_server.subprocess_supervisor import supervise
from tests.support.ports import free_port

#: Serves /health and exits with code 7 on SIGTERM. Its own child would outlive it.
SERVER = """
import http.server, os, signal, subprocess, sys
port, note = int(sys.argv[1]), sys.argv[2]
left = subprocess.Popen(["sleep", "600"])
open(note, "w").write(str(left.pid))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""
IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
)


@pytest.fixture
def port() -> int:
    return free_port()


class SupervisorRun:
    """Calls `supervise` and records its reports."""

    def __init__(self, on_ready: Callable[[], None] = lambda: None) -> None:
        self.reports: list[str] = []
        self.was_ready = False
        self._on_ready = on_ready

    def on_ready(self) -> None:
        self.was_ready = True
        self._on_ready()

    async def __call__(self, *command: str, port: int, startup_timeout: float = 120) -> int:
        return await supervise(
            command,
            os.environ,
            f"http://127.0.0.1:{port}/health",
            report=self.reports.append,
            on_ready=self.on_ready,
            startup_timeout_seconds=startup_timeout,
            poll_seconds=0.05,
            report_seconds=0.0,
        )


async def test_a_signal_is_forwarded_to_the_child_and_its_exit_code_returned(
    port: int, tmp_path: Path
) -> None:
    run = SupervisorRun(on_ready=lambda: os.kill(os.getpid(), signal.SIGTERM))
    note = tmp_path / "left"
    assert await run(sys.executable, "-c", SERVER, str(port), str(note), port=port) == 7
    assert run.was_ready
    assert all("loading" in line for line in run.reports)
    await _wait_for_exit(int(note.read_text()))


async def test_the_exit_code_of_a_child_that_ends_early_is_returned(port: int) -> None:
    run = SupervisorRun()
    assert await run(sys.executable, "-c", "raise SystemExit(3)", port=port) == 3
    assert not run.was_ready


async def test_a_signal_that_ended_the_child_is_returned_as_128_plus_its_number(port: int) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert await SupervisorRun()(sys.executable, "-c", kill, port=port) == 128 + signal.SIGKILL


async def test_a_child_that_is_not_ready_in_time_is_stopped(port: int) -> None:
    run = SupervisorRun()
    sleep = "import time; time.sleep(600)"
    assert await run(sys.executable, "-c", sleep, port=port, startup_timeout=0.2) == 1
    assert run.reports[-1] == "not ready after 0 s; stopping it"


async def test_the_second_signal_kills_a_child_that_ignores_the_first(port: int) -> None:
    run = SupervisorRun()

    def interrupt(line: str) -> None:
        run.reports.append(line)
        os.kill(os.getpid(), signal.SIGTERM)

    code = await supervise(
        [sys.executable, "-c", IGNORES_SIGTERM],
        os.environ,
        f"http://127.0.0.1:{port}/health",
        report=interrupt,
        on_ready=run.on_ready,
        startup_timeout_seconds=120,
        poll_seconds=0.05,
        report_seconds=0.0,
    )
    assert code in (128 + signal.SIGKILL, 128 + signal.SIGTERM)


async def test_a_cancelled_call_leaves_no_child(port: int, tmp_path: Path) -> None:
    reached = asyncio.Event()
    run = SupervisorRun(on_ready=reached.set)
    note = tmp_path / "left"
    task = asyncio.create_task(run(sys.executable, "-c", SERVER, str(port), str(note), port=port))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _wait_for_exit(int(note.read_text()))


async def _wait_for_exit(pid: int) -> None:
    """Wait until the process has ended and was reaped."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, ended.set)
        await ended.wait()
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


#: Supervises a child that writes "up" into a pipe and keeps it open until SIGTERM.
SUPERVISOR = """
import asyncio, os, sys
from sightline.server.models.model_server.subprocess_supervisor import supervise
child = "import os, signal, sys; os.write(1, b'up'); signal.pause()"
asyncio.run(supervise(
    [sys.executable, "-c", child], os.environ, "http://127.0.0.1:1/health",
    report=print, on_ready=lambda: None, startup_timeout_seconds=600,
))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="uses prctl of Linux")
async def test_the_child_ends_when_the_supervisor_is_killed() -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    assert await supervisor.stdout.readexactly(2) == b"up"
    supervisor.kill()
    # End of file: the child, which also held the pipe, has ended.
    assert await supervisor.stdout.read() == b""
    await supervisor.wait()
