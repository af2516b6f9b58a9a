from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from sightline.server.models.vision_language.builtin.builtin_transport import BuiltinTransport
from sightline.server.models.vision_language.vlm_client import VlmCallStats
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.vlm.vision_language_model import (
    Request,
    UnknownModelError,
    choice_probabilities,
)
from tests.server.models.vision_language.conftest import MakeClient
from tests.support import random_llava

NAME = "random-llava"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llava.write(tmp_path_factory.mktemp("models") / NAME)


@pytest.fixture
def make(folder: Path, make_client: MakeClient) -> MakeClient:
    return partial(make_client, transport=BuiltinTransport(folder), model=NAME)


async def test_a_yes_or_no_question_is_answered_with_its_probabilities(
    make: MakeClient, observed: list[VlmCallStats]
) -> None:
    client = make(profile=choose_profile("builtin-llava"))
    image = Image.radial_gradient("L").resize((120, 90))
    reply = await client.ask(
        Request((image, "Is there a van?"), choices=("yes", "no"), probabilities=True)
    )
    assert reply.choice in ("yes", "no")
    assert reply.text == reply.choice
    shares = choice_probabilities(reply, ("yes", "no"))
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1)
    assert reply.usage is not None
    assert reply.usage.answer_tokens >= 1
    assert [each.requests for each in observed] == [1]


async def test_the_answer_follows_the_schema(make: MakeClient) -> None:
    client = make(profile=choose_profile("qwen3-vl"))
    schema = {
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["count"],
        "additionalProperties": False,
    }
    reply = await client.ask(Request(("How many?",), schema=schema, max_tokens=64))
    assert isinstance(reply.data, dict)
    assert isinstance(reply.data["count"], int)
    assert not reply.data_repaired


async def test_concurrent_requests_get_the_same_answers_as_sequential_ones(
    make: MakeClient,
) -> None:
    requests = [Request((f"What is {n}?",), max_tokens=6) for n in range(16)]
    together = make(max_concurrent_requests=16)
    in_turn = make(max_concurrent_requests=1)
    answers = await asyncio.gather(*map(together.ask, requests))
    assert [a.text for a in answers] == [(await in_turn.ask(r)).text for r in requests]
    assert not any(answer.cached for answer in answers)


async def test_health_returns_the_served_model(make: MakeClient) -> None:
    assert await make().health() == [NAME]
    with pytest.raises(UnknownModelError, match="no model 'lava'"):
        await make(model="lava").ask(Request(("?",)))
