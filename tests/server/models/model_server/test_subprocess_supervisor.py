"""A server is run as a child: told of when ready, stopped by signals, and nothing stays behind."""

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

#: Serves /health; ends with code 7 on SIGTERM. Its own child writes its id and outlives it.
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
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def port() -> int:
    return free_port()


class Run:
    """`supervise` with what it said; ``ready`` does what the test wants then."""

    def __init__(self, ready: Callable[[], None] = lambda: None) -> None:
        self.told: list[str] = []
        self.was_ready = False
        self._then = ready

    def ready(self) -> None:
        self.was_ready = True
        self._then()

    async def __call__(self, *command: str, port: int, patience: float = 120) -> int:
        return await supervise(
            command,
            os.environ,
            f"http://127.0.0.1:{port}/health",
            tell=self.told.append,
            ready=self.ready,
            patience_seconds=patience,
            look_seconds=0.05,
            tell_seconds=0.0,
        )


async def test_a_signal_goes_to_the_child_when_it_is_ready_and_its_code_comes_back(
    port: int, tmp_path: Path
) -> None:
    run = Run(ready=lambda: os.kill(os.getpid(), signal.SIGTERM))
    note = tmp_path / "left"
    assert await run(sys.executable, "-c", SERVER, str(port), str(note), port=port) == 7
    assert run.was_ready
    assert all("loading" in line for line in run.told)
    await _gone(int(note.read_text()))


async def test_a_child_that_ends_before_it_is_ready_gives_its_code(port: int) -> None:
    run = Run()
    assert await run(sys.executable, "-c", "raise SystemExit(3)", port=port) == 3
    assert not run.was_ready


async def test_a_child_that_a_signal_ended_is_told_as_shells_do(port: int) -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert await Run()(sys.executable, "-c", kill, port=port) == 128 + signal.SIGKILL


async def test_a_child_that_does_not_get_ready_is_given_up(port: int) -> None:
    run = Run()
    sleep = "import time; time.sleep(600)"
    assert await run(sys.executable, "-c", sleep, port=port, patience=0.2) == 1
    assert run.told[-1] == "not ready after 0 s; giving up"


async def test_the_second_signal_kills_a_child_that_does_not_listen(port: int) -> None:
    run = Run()

    def interrupt(line: str) -> None:
        run.told.append(line)
        os.kill(os.getpid(), signal.SIGTERM)

    code = await supervise(
        [sys.executable, "-c", DEAF],
        os.environ,
        f"http://127.0.0.1:{port}/health",
        tell=interrupt,
        ready=run.ready,
        patience_seconds=120,
        look_seconds=0.05,
        tell_seconds=0.0,
    )
    assert code in (128 + signal.SIGKILL, 128 + signal.SIGTERM)


async def test_a_call_that_is_cancelled_leaves_no_child(port: int, tmp_path: Path) -> None:
    reached = asyncio.Event()
    run = Run(ready=reached.set)
    note = tmp_path / "left"
    task = asyncio.create_task(run(sys.executable, "-c", SERVER, str(port), str(note), port=port))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _gone(int(note.read_text()))


async def _gone(pid: int) -> None:
    """Return when the process has ended; whoever adopted it may take a moment to bury it."""
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, ended.set)
        await ended.wait()
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


#: Supervises a child that writes "up" into a pipe and holds it open until it is told to end.
SUPERVISOR = """
import asyncio, os, sys
from sightline.server.supervised import supervise
child = "import os, signal, sys; os.write(1, b'up'); signal.pause()"
asyncio.run(supervise(
    [sys.executable, "-c", child], os.environ, "http://127.0.0.1:1/health",
    tell=print, ready=lambda: None, patience_seconds=600,
))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
async def test_a_supervisor_that_is_killed_takes_its_server_with_it() -> None:
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    assert await supervisor.stdout.readexactly(2) == b"up"
    supervisor.kill()
    # The end of the pipe: the child, which also held it, is gone.
    assert await supervisor.stdout.read() == b""
    await supervisor.wait()
