"""Runs a server as a child process: health check, signal forwarding, exit code."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import httpx

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HEALTH_TIMEOUT_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


async def supervise(
    command: Sequence[str],
    environment: Mapping[str, str],
    health_url: str,
    *,
    report: Callable[[str], None],
    on_ready: Callable[[], None],
    startup_timeout_seconds: float,
    poll_seconds: float = 1.0,
    report_seconds: float = 15.0,
) -> int:
    """Run ``command`` and return its exit code, or 128 plus the signal that ended it.

    ``on_ready`` is called once when ``health_url`` answers 200; until then ``report`` gets a line
    every ``report_seconds``. A child that is not healthy in time is terminated, with code 1.
    SIGINT, SIGTERM and SIGHUP go to the child; the second one kills it and all processes that it
    started. If this process is killed, Linux terminates the child.
    """
    # In its own session, so that Ctrl-C in a terminal reaches it only once, from here.
    child = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=_end_with_parent(os.getpid()) if sys.platform == "linux" else None,
    )
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def forward(number: int) -> None:
        received.append(number)
        _send_signal(child, number if len(received) == 1 else signal.SIGKILL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, forward, number)
    try:
        healthy = await _wait_until_healthy(
            child, health_url, report, startup_timeout_seconds, poll_seconds, report_seconds
        )
        if healthy:
            on_ready()
        elif child.returncode is None:
            report(f"not ready after {startup_timeout_seconds:.0f} s; stopping it")
            _send_signal(child, signal.SIGTERM)
            await child.wait()
            return 1
        code = await child.wait()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    return code if code >= 0 else 128 - code


def _send_signal(child: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to a running child.

    ``child.send_signal`` polls the exit status first; if the child has just ended, the event loop
    then loses its exit code (255).
    """
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _end_with_parent(parent: int) -> Callable[[], None]:
    """Return a ``preexec_fn`` that requests SIGTERM when the parent dies."""
    libc = ctypes.CDLL(None)  # loaded here, because a forked child should load nothing

    def request_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)

    return request_signal


async def _wait_until_healthy(
    child: asyncio.subprocess.Process,
    url: str,
    report: Callable[[str], None],
    timeout_seconds: float,
    poll_seconds: float,
    report_seconds: float,
) -> bool:
    """Return whether the child became healthy before it ended and before the timeout."""
    loop = asyncio.get_running_loop()
    started_at = reported_at = loop.time()
    # Without proxies of the environment, which cannot reach this machine.
    async with httpx.AsyncClient(timeout=_HEALTH_TIMEOUT_SECONDS, trust_env=False) as http:
        while loop.time() - started_at < timeout_seconds:
            with suppress(httpx.HTTPError):
                if (await http.get(url)).is_success:
                    return child.returncode is None
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(child.wait()), poll_seconds)
                return False
            if loop.time() - reported_at >= report_seconds:
                reported_at = loop.time()
                report(f"loading for {reported_at - started_at:.0f} s")
    return False
