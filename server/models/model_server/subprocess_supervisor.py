"""Runs a server as a child: waits until it is healthy, passes signals on, gives its exit code."""

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
_HEALTH_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


async def supervise(
    command: Sequence[str],
    environment: Mapping[str, str],
    health_url: str,
    *,
    tell: Callable[[str], None],
    ready: Callable[[], None],
    patience_seconds: float,
    look_seconds: float = 1.0,
    tell_seconds: float = 15.0,
) -> int:
    """Run ``command`` to its end; its exit code, or 128 plus the signal that ended it.

    ``ready`` is called once, when ``health_url`` answers 200; until then ``tell`` is given a line
    every ``tell_seconds``. A child that is not healthy after ``patience_seconds`` is ended, code 1.
    SIGINT, SIGTERM and SIGHUP go to the child; at the second one it is killed, and so is
    whatever it leaves behind. Where we are killed ourselves, Linux tells the child to end.
    """
    # A session of its own: Ctrl-C in a terminal reaches it once, through us.
    child = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=_ending_with(os.getpid()) if sys.platform == "linux" else None,
    )
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def pass_on(number: int) -> None:
        seen.append(number)
        _send(child, number if len(seen) == 1 else signal.SIGKILL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, pass_on, number)
    try:
        healthy = await _until_healthy(
            child, health_url, tell, patience_seconds, look_seconds, tell_seconds
        )
        if healthy:
            ready()
        elif child.returncode is None:
            tell(f"not ready after {patience_seconds:.0f} s; giving up")
            _send(child, signal.SIGTERM)
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


def _send(child: asyncio.subprocess.Process, number: int) -> None:
    """A signal for the child, if it lives.

    Not by the child's own method: that asks the system first how the child ended, and where it just
    did, the event loop never learns it (255).
    """
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)


def _ending_with(parent: int) -> Callable[[], None]:
    """What a child does before its program: asks for SIGTERM when its parent dies.

    Its own children end then, as they do when an operator stops it.
    """
    libc = ctypes.CDLL(None)  # here: a forked child should load nothing

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before that was asked for
            os._exit(1)

    return ask


async def _until_healthy(
    child: asyncio.subprocess.Process,
    url: str,
    tell: Callable[[str], None],
    patience_seconds: float,
    look_seconds: float,
    tell_seconds: float,
) -> bool:
    """Whether it became healthy; ``False`` when it ended first or the patience did."""
    loop = asyncio.get_running_loop()
    began = told = loop.time()
    # Straight to the child: a proxy of the environment has no way to this machine.
    async with httpx.AsyncClient(timeout=_HEALTH_SECONDS, trust_env=False) as http:
        while loop.time() - began < patience_seconds:
            with suppress(httpx.HTTPError):
                if (await http.get(url)).is_success:
                    return child.returncode is None
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(child.wait()), look_seconds)
                return False
            if loop.time() - told >= tell_seconds:
                told = loop.time()
                tell(f"loading, {told - began:.0f} s so far")
    return False
