"""VLM clients with delays that take no time and a seeded random generator."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sightline.server.models.vision_language.vlm_client import VlmCallStats, VlmClient
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.tools.boxes.model_families import choose_profile
from tests.support.fake_vlm_server import MODEL

MakeClient = Callable[..., VlmClient]


class FakeSleep:
    """Records the delays instead of sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def fake_sleep() -> FakeSleep:
    return FakeSleep()


@pytest.fixture
def observed() -> list[VlmCallStats]:
    return []


@pytest.fixture
async def make_client(
    fake_sleep: FakeSleep, observed: list[VlmCallStats]
) -> AsyncIterator[MakeClient]:
    """Yield ``make_client(base_url, transport=..., **limits)``."""
    async with AsyncExitStack() as stack:

        def make(
            base_url: str = "http://vlm.test/v1",
            *,
            transport: Any = None,
            clock: Any = None,
            **limits: Any,
        ) -> VlmClient:
            limits.setdefault("model", MODEL)
            limits.setdefault("profile", choose_profile("qwen3-vl"))
            client = VlmClient(
                VlmEndpoint(base_url=base_url, **limits),
                observer=observed.append,
                transport=transport,
                sleep=fake_sleep,
                rng=random.Random(1),
                **({} if clock is None else {"clock": clock}),
            )
            stack.push_async_callback(client.close)
            return client

        yield make
