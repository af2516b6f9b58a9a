"""A hostile principal: sends calls as fast as it can, in a process with a low priority."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

#: After a refused call.
PAUSE_SECONDS = 0.05
_CALLS_AT_ONCE = 16
_NICE = 10


@dataclass(frozen=True)
class Target:
    """What the hostile principal knows."""

    url: str
    token: str
    collection: str
    #: Its assets; the first is the large picture, the second has thousands of annotations.
    assets: tuple[str, ...]
    #: A folder that the server may read and the principal may write.
    folder: Path
    #: Connection string of its analyst login.
    analyst: str
    deadline: float = 0.0

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


Outcomes = Counter[str]
Flood = Callable[[Target, Outcomes], Awaitable[None]]
#: Sends one call; the number is different for each call.
Send = Callable[[Client, int], Awaitable[object]]


def run(flood: Flood, target: Target, seconds: float) -> Outcomes:
    """Run a flood for some seconds in this process; return its calls by outcome."""
    os.nice(max(0, _NICE - os.nice(0)))
    outcomes: Outcomes = Counter()

    async def limited() -> None:
        bounded = replace(target, deadline=time.monotonic() + seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds + 1):
                await flood(bounded, outcomes)

    asyncio.run(limited())
    return outcomes


async def call_at_once(
    target: Target, outcomes: Outcomes, send: Send, at_once: int = _CALLS_AT_ONCE
) -> None:
    """Keep ``at_once`` calls running; connect again after a broken connection."""
    numbers = itertools.count(random.getrandbits(40))

    async def work(client: Client) -> None:
        while not target.is_over:
            await _count(outcomes, send(client, next(numbers)))

    while not target.is_over:
        try:
            async with (
                httpx2.AsyncClient(headers=target.headers, timeout=120) as http,
                Client(streamable_http_client(target.url, http_client=http)) as client,
                asyncio.TaskGroup() as tasks,
            ):
                for _ in range(at_once):
                    tasks.create_task(work(client))
        except Exception as error:  # noqa: BLE001 - counted, then connected again
            outcomes[type(root_error(error)).__name__] += 1
            await asyncio.sleep(PAUSE_SECONDS)


async def _count(outcomes: Outcomes, call: Awaitable[object]) -> None:
    try:
        result = await call
    except asyncio.CancelledError:  # the flood is over
        outcomes["unanswered"] += 1
        raise
    except TimeoutError:  # of the flood itself
        outcomes["left"] += 1
        return
    except MCPError:
        refused = True
    else:
        refused = bool(getattr(result, "is_error", False))
    outcomes["refused" if refused else "answered"] += 1
    if refused:
        await asyncio.sleep(PAUSE_SECONDS)


def root_error(error: BaseException) -> BaseException:
    """Return the first error inside of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def request_at_once(
    target: Target,
    outcomes: Outcomes,
    at_once: int,
    method: str,
    url: str,
    headers: dict[str, str] | Callable[[], dict[str, str]],
    **body: Any,
) -> None:
    """Send one HTTP request again and again, without MCP."""

    async def work(http: httpx2.AsyncClient) -> None:
        while not target.is_over:
            sent = headers() if callable(headers) else headers
            try:
                response = await http.request(method, url, headers=sent, **body)
                outcomes[f"HTTP {response.status_code}"] += 1
            except httpx2.HTTPError as error:
                outcomes[type(error).__name__] += 1
                await asyncio.sleep(PAUSE_SECONDS)

    async with httpx2.AsyncClient(timeout=60) as http:
        await asyncio.gather(*(work(http) for _ in range(at_once)))
