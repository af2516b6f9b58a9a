"""The other principal: a mix of ordinary calls at a fixed pace, each with its duration."""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from benchmarks import dataset
from benchmarks.hostile.attacker import root_error
from sightline.tools.shared.tool_results import read_result
from tests.support.sample_images import jpeg

#: Below the rate limit of a principal, also with the calls of a new connection.
_PACE_SECONDS = 0.15
#: A slower call is lost.
_CALL_TIMEOUT_SECONDS = 60.0
#: Calls of 40, in an order that differs for each round.
_MIX = {
    "search_images": 16,
    "search_text": 8,
    "view_image": 8,
    "list_collections": 4,
    "connect": 2,
    "answer_question": 1,
    "add_images": 1,
}
#: Their duration depends on the model or on worker processes, so they have columns of their own.
SLOW_KINDS = ("add_images", "answer_question", "connect")


@dataclass(frozen=True)
class Neighbor:
    """What the other principal uses."""

    url: str
    token: str
    collection: str
    assets: tuple[str, ...]


@dataclass
class Measured:
    """Seconds of the answered calls by kind, and the errors of the lost calls."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in _MIX})
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        return sum(map(len, self.seconds.values())) + self.lost.total()

    def quick(self) -> list[float]:
        """Return the durations of the calls that only read."""
        return [s for kind, each in self.seconds.items() if kind not in SLOW_KINDS for s in each]

    def percentile(self, percent: float) -> float:
        """Return a percentile of the calls that only read, in milliseconds."""
        return milliseconds(self.quick(), percent)

    def slowest(self, kind: str) -> float:
        """Return the longest call of a kind, in milliseconds."""
        return milliseconds(self.seconds[kind], 100)


def milliseconds(seconds: Iterable[float], percent: float) -> float:
    """Return a percentile in milliseconds, or NaN without values."""
    values = list(seconds)
    return 1000 * float(np.percentile(values, percent)) if values else float("nan")


def work(neighbor: Neighbor, seconds: float, min_calls: int = 0, seed: int = 0) -> Measured:
    """Call for some seconds, and until there were ``min_calls``."""
    return asyncio.run(_work(neighbor, seconds, min_calls, seed))


async def _work(neighbor: Neighbor, seconds: float, min_calls: int, seed: int) -> Measured:
    measured, rng = Measured(), random.Random(seed)
    until = time.monotonic() + seconds
    kinds: list[str] = []
    while time.monotonic() < until or measured.calls < min_calls:
        try:
            async with AsyncExitStack() as stack:
                client = await _connect(stack, neighbor)
                while time.monotonic() < until or measured.calls < min_calls:
                    if not kinds:
                        kinds = [kind for kind, share in _MIX.items() for _ in range(share)]
                        rng.shuffle(kinds)
                    await _measure(neighbor, client, kinds.pop(), rng, measured)
        except Exception as error:  # noqa: BLE001 - a lost connection; go on with a new one
            measured.lost[_reason(error)] += 1
            await asyncio.sleep(_PACE_SECONDS)
    return measured


async def _measure(
    neighbor: Neighbor, client: Client, kind: str, rng: random.Random, measured: Measured
) -> None:
    start = time.monotonic()
    problem: str | None
    try:
        async with asyncio.timeout(_CALL_TIMEOUT_SECONDS):
            problem = await _call(neighbor, client, kind, rng)
    except Exception as error:  # noqa: BLE001 - counted as lost
        problem = _reason(error)
    elapsed = time.monotonic() - start
    if problem is None:
        measured.seconds[kind].append(elapsed)
    else:
        measured.lost[f"{kind}: {problem}"] += 1
    await asyncio.sleep(max(0.0, _PACE_SECONDS - elapsed))


async def _call(neighbor: Neighbor, client: Client, kind: str, rng: random.Random) -> str | None:
    """Make one call; return why it failed."""
    if kind == "connect":
        async with AsyncExitStack() as stack:
            fresh = await _connect(stack, neighbor, mode="legacy")
            return _problem(await fresh.call_tool("list_collections", {}))
    query = f"{dataset.caption(rng)} {rng.random()}"
    arguments: dict[str, dict[str, Any]] = {
        "search_images": {"query": query},
        "search_text": {"query": query},
        "view_image": {"asset": rng.choice(neighbor.assets), "max_edge": 512},
        "list_collections": {},
        "answer_question": {"question": query, "assets": [rng.choice(neighbor.assets)]},
        "add_images": {"collection": neighbor.collection, "uploads": [_new_upload(rng)]},
    }
    result = await client.call_tool(kind, arguments[kind])
    answer = {} if result.is_error else read_result(result)
    if kind == "answer_question" and answer.get("status") == "no_model":
        return "no answer of the model"
    if kind == "add_images" and answer.get("added") != 1:
        return f"not added: {str(answer.get('failures', result.content))[:100]}"
    return _problem(result)


def _new_upload(rng: random.Random) -> dict[str, str]:
    data = dataset.add_comment(jpeg(rng.randrange(2**32)), str(rng.random()))
    return {"name": "new.jpg", "data": base64.b64encode(data).decode()}


def _problem(result: Any) -> str | None:
    return str(getattr(result.content[0], "text", "error"))[:120] if result.is_error else None


async def _connect(stack: AsyncExitStack, neighbor: Neighbor, mode: str = "auto") -> Client:
    headers = {"Authorization": f"Bearer {neighbor.token}"}
    http = await stack.enter_async_context(
        httpx2.AsyncClient(headers=headers, timeout=_CALL_TIMEOUT_SECONDS)
    )
    transport = streamable_http_client(neighbor.url, http_client=http)
    client = await stack.enter_async_context(Client(transport, mode=mode))
    await client.list_tools()  # else the client does it in its first call
    return client


def _reason(error: BaseException) -> str:
    error = root_error(error)
    return f"{type(error).__name__} {error}"[:120]
