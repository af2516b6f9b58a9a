"""Clients of an endpoint, with waits that take no time and lots that always fall alike."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sightline.server.models.vision_language.call_state import Observation
from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.tools.boxes.model_families import choose_profile
from tests.support.vlm_endpoint import MODEL

MakeClient = Callable[..., VlmClient]


class Waits:
    """Stands for ``asyncio.sleep``: remembers how long it was asked to wait, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def observed() -> list[Observation]:
    return []


@pytest.fixture
async def make_client(waits: Waits, observed: list[Observation]) -> AsyncIterator[MakeClient]:
    """``make_client(base_url, transport=..., **bounds)``; closed after the test."""
    async with AsyncExitStack() as stack:

        def make(
            base_url: str = "http://vlm.test/v1",
            *,
            transport: Any = None,
            clock: Any = None,
            **bounds: Any,
        ) -> VlmClient:
            bounds.setdefault("model", MODEL)
            bounds.setdefault("profile", choose_profile("qwen3-vl"))
            client = VlmClient(
                Endpoint(base_url=base_url, **bounds),
                observer=observed.append,
                transport=transport,
                pause=waits,
                chance=random.Random(1),
                **({} if clock is None else {"clock": clock}),
            )
            stack.push_async_callback(client.close)
            return client

        yield make
