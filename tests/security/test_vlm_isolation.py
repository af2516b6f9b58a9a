"""Failures that one caller's questions cause, and their texts, reach no other caller."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from starlette.types import Receive, Send

from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.errors import ModelError
from sightline.storage.isolation.caller import as_caller, message_for_caller
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.vlm.vision_language_model import Reply, Request
from tests.security.two_principals import House, call_json, open_house
from tests.support.fake_vlm_server import (
    MODEL,
    Behavior,
    FakeVlmServer,
    closes_connection,
    completion,
    fails_on,
    rejects,
    reply,
    sends,
    serving,
    when_released,
)
from tests.support.ports import free_port

POISON = "poison"
INTERNAL = "CUDA error at worker gpu-7.internal:8000"
#: What no caller with a token may read: addresses, and text that the endpoint sent.
SECRETS = ("127.0.0.1", "localhost", "http://", "gpu-7", "CUDA")
FAILURES: dict[str, Behavior] = {
    "500": rejects(500, INTERNAL),
    "429": rejects(429, INTERNAL),
    "400": rejects(400, INTERNAL),
    "401": rejects(401, INTERNAL),
    "302": sends(b"", 302, {"location": "http://gpu-7.internal"}),
    "404": rejects(404, INTERNAL),
    "closed": closes_connection,
    "garbage": sends(INTERNAL.encode()),
    "error in a body": sends(json.dumps({"error": {"message": INTERNAL}}).encode()),
    "no answer": sends(json.dumps({"choices": [], "host": "gpu-7"}).encode()),
}
fails_on_poison = fails_on(POISON, INTERNAL)


async def no_wait(_seconds: float) -> None:
    """Replace the delays between retries."""


@asynccontextmanager
async def opened(url: str, **limits: Any) -> AsyncIterator[VlmClient]:
    endpoint = VlmEndpoint(
        base_url=url, **{"model": MODEL, "profile": choose_profile("qwen3-vl"), **limits}
    )
    async with VlmClient(endpoint, sleep=no_wait, rng=random.Random(1)) as client:
        yield client


@pytest.fixture
async def endpoint() -> FakeVlmServer:
    return FakeVlmServer()


@pytest.fixture
async def url(endpoint: FakeVlmServer) -> AsyncIterator[str]:
    async with serving(endpoint) as address:
        yield address


async def ask(client: VlmClient, who: str | None, text: str, **fields: Any) -> Reply:
    with as_caller(who):
        return await client.ask(Request((text,), **fields))


async def failure(client: VlmClient, who: str | None, text: str) -> str:
    """Return what the caller reads of an error that must occur."""
    with as_caller(who), pytest.raises(ModelError) as caught:
        await client.ask(Request((text,)))
    with as_caller(who):
        return message_for_caller(caught.value)


async def test_the_circuit_that_one_caller_opens_is_its_own(
    endpoint: FakeVlmServer, url: str
) -> None:
    endpoint.default_behavior = fails_on_poison
    async with opened(url, max_retries=0) as client:
        for number in range(client._endpoint.circuit_max_failures):
            assert "HTTP 500" in await failure(client, "alice", f"{POISON} {number}")
        assert "Your last requests" in await failure(client, "alice", "harmless")
        for who in ("bob", "carol", None):
            assert (await ask(client, who, "harmless")).text == "yes"


async def test_many_colluding_callers_do_not_open_the_circuit_of_another(
    endpoint: FakeVlmServer, url: str
) -> None:
    endpoint.default_behavior = fails_on_poison
    async with opened(url, max_retries=0, circuit_max_failures=2) as client:
        for number in range(12):
            await failure(client, f"mallory{number % 4}", f"{POISON} {number}")
        assert (await ask(client, "bob", "harmless")).text == "yes"


async def test_an_unreachable_endpoint_opens_the_circuit_of_all() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    async with opened(url, max_retries=0, circuit_max_failures=2) as client:
        messages = [await failure(client, who, "?") for who in ("alice", "bob", "carol")]
        with as_caller("dora"):
            assert client.circuit_state == "open"
    assert "cannot be reached" in messages[0]
    assert "Requests resume in 10 s" in messages[2]
    assert not any(secret in message for message in messages for secret in SECRETS)


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_message_tells_a_caller_no_address_and_no_text_of_the_endpoint(
    endpoint: FakeVlmServer, url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.default_behavior = FAILURES[kind]
    async with opened(url, max_retries=0) as client:
        message = await failure(client, "alice", "harmless")
        assert not any(secret in message for secret in SECRETS), message
        with caplog.at_level(logging.WARNING):
            told = await failure(client, None, "harmless too")
    # The operator learns it, from the log or as the only user of the server.
    assert any(secret in told for secret in SECRETS) or kind == "no answer", told
    assert told in caplog.text


async def test_the_names_of_other_models_are_not_told(endpoint: FakeVlmServer, url: str) -> None:
    endpoint.models = ("internal-70b",)
    async with opened(url) as client:
        assert "internal-70b" not in await failure(client, "alice", "harmless")


async def test_one_caller_cannot_hold_all_slots(endpoint: FakeVlmServer, url: str) -> None:
    endpoint.default_behavior = when_released
    async with (
        opened(url, max_concurrent_requests=4) as client,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        for number in range(50):
            group.create_task(ask(client, "alice", f"{number}"))
        await endpoint.arrivals(2)
        group.create_task(ask(client, "bob", "mine"))
        await endpoint.arrivals(3)
        assert "mine" in json.dumps(endpoint.questions[2]["messages"])
        endpoint.released.set()
    assert len(endpoint.questions) == 51


async def test_callers_take_turns_for_a_slot(endpoint: FakeVlmServer, url: str) -> None:
    endpoint.default_behavior = when_released
    async with (
        opened(url, max_concurrent_requests=1) as client,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        for number in range(20):
            group.create_task(ask(client, "alice", f"{number}"))
        await endpoint.arrivals(1)
        group.create_task(ask(client, "bob", "mine"))
        while not {"alice", "bob"} <= client._slots._waiting.keys():  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)
        endpoint.released.set()
    order = ["mine" in json.dumps(body["messages"]) for body in endpoint.questions]
    assert order.index(True) < 4


async def test_a_cached_answer_is_found_by_its_caller_only(
    endpoint: FakeVlmServer, url: str
) -> None:
    async with opened(url) as client:
        cached = [
            (await ask(client, who, "Is employee 5 dismissed?")).cached
            for who in ("alice", "alice", "bob", None)
        ]
    assert cached == [False, True, False, False]
    assert len(endpoint.questions) == 3


async def test_an_echoed_text_of_one_caller_switches_nothing_off_for_another(
    endpoint: FakeVlmServer, url: str
) -> None:
    async def echoes(_: FakeVlmServer, body: dict[str, Any], r: Receive, send: Send) -> None:
        if POISON in (text := json.dumps(body["messages"])):
            await reply(send, 400, {"error": {"message": f"bad input: {text}"}})
        else:
            await reply(send, 200, completion("yes", body["model"]))

    endpoint.default_behavior = echoes
    async with opened(url) as client:
        with pytest.raises(ModelError):
            await ask(client, "alice", f"{POISON} unknown parameter logprobs", probabilities=True)
        await ask(client, "bob", "harmless", probabilities=True)
    assert endpoint.questions[-1]["logprobs"] is True


async def test_the_server_separates_the_prefix_caches_of_callers(
    endpoint: FakeVlmServer, url: str
) -> None:
    async with opened(url) as client:
        for number, who in enumerate(("alice", "bob", "alice", None)):
            await ask(client, who, f"{number}")
    alice, bob, again, operator = (body.get("cache_salt") for body in endpoint.questions)
    assert alice == again
    assert operator is None
    assert len({alice, bob, "alice", "bob", None}) == 5


@pytest.fixture(scope="module")
def vlm() -> FakeVlmServer:
    endpoint = FakeVlmServer()
    endpoint.default_behavior = fails_on_poison
    return endpoint


@pytest.fixture(scope="module")
def asked_house(
    vlm: FakeVlmServer, encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Run a server with a vision-language model that fails on some questions."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(vlm)) as url,
        open_house(
            tmp_path_factory.mktemp("asked").resolve(),
            encoder_folder,
            vlm__base_url=url,
            vlm__model=MODEL,
            reranker__model="vlm",
        ) as opened_house,
    ):
        yield opened_house


async def answer(house: House, who: str, question: str) -> dict[str, Any]:
    async with house.client(who) as client:
        asset = house.assets["lighthouse" if who == "alice" else "submarine"][0]
        return await call_json(client, "answer_question", question=question, assets=[asset])


async def test_questions_of_one_principal_do_not_switch_the_model_off_for_another(
    asked_house: House,
) -> None:
    results = [await answer(asked_house, "alice", f"{POISON} {number}?") for number in range(3)]
    assert [each["status"] for each in results] == ["no_model"] * 3
    assert "Your last requests" in results[-1]["missing"]
    texts = [json.dumps(each) for each in results]
    async with asked_house.client("alice") as client:
        texts.append(json.dumps(await call_json(client, "search_images", query=POISON)))
    assert "Not reranked" in texts[-1]
    texts = [text.replace(asked_house.base_url, "") for text in texts]  # of the server itself
    assert not any(secret in text for text in texts for secret in SECRETS), texts
    other = await answer(asked_house, "bob", "what is it?")
    assert other["status"] != "no_model", other
