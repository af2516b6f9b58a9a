"""After any failure of the endpoint, the call ends and the next works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Receive, Send

from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.shared.limits import Limits
from tests.support.fake_vlm_server import (
    MODEL,
    Behavior,
    FakeVlmServer,
    closes_connection,
    completion,
    endless,
    rejects,
    reply,
    says,
    sends,
    serving,
    when_released,
)
from tests.support.scripted_vlm import prompt_text
from tests.tools.toolbox import ToolClient, ToolEnvironment

GARLIC = "album/shop/garlic.png"
BOX = [250, 0, 750, 500]


def answer(text: str = "garlic", *, box: Any = None, number: int = 1) -> str:
    claims = [{"text": f"it is {text}", "evidence": [number], "box": box, "quote": None}]
    return json.dumps({"answer": text, "claims": claims, "missing": None, "interpretations": []})


async def good(endpoint: FakeVlmServer, body: dict[str, Any], _: Receive, send: Send) -> None:
    """A model that answers in the form that it is asked for."""
    look = "Answer yes or no." in prompt_text(body["messages"])
    await reply(send, 200, completion("yes" if look else answer(box=BOX), body["model"]))


async def no_wait(_seconds: float) -> None:
    """Stands for the pauses between tries."""


@asynccontextmanager
async def asked(environment: ToolEnvironment, url: str, **bounds: Any) -> AsyncIterator[ToolClient]:
    """The tools with a client of the endpoint, as the server has them."""
    bounds = {
        "model": MODEL,
        "max_retries": 1,
        "circuit_max_failures": 1000,
        "max_cached_responses": 0,
    } | bounds
    endpoint = VlmEndpoint(base_url=url, profile=choose_profile("qwen3-vl"), **bounds)
    async with (
        VlmClient(endpoint, sleep=no_wait) as client,
        environment.replace(vlm=client).serve() as tools,
    ):
        yield tools


@pytest.fixture
async def endpoint() -> FakeVlmServer:
    made = FakeVlmServer()
    made.default_behavior = good
    return made


@pytest.fixture
async def url(endpoint: FakeVlmServer) -> AsyncIterator[str]:
    async with serving(endpoint) as address:
        yield address


async def ask(tools: ToolClient, number: int = 0) -> dict[str, Any]:
    asset = (await tools.ids())[GARLIC]
    return await tools.call("answer_question", question=f"What is it? ({number})", assets=[asset])


async def test_sixteen_questions_at_once_are_all_answered_and_leave_no_connection(
    environment: ToolEnvironment, endpoint: FakeVlmServer, url: str
) -> None:
    async with asked(environment, url, max_concurrent_requests=4) as tools:
        results = await asyncio.gather(*(ask(tools, n) for n in range(16)))
    assert [each["status"] for each in results] == ["answered"] * 16
    assert {each["claims"][0]["verdict"] for each in results} == {"unchecked"}
    assert endpoint.max_running <= 4
    await endpoint.quiet.wait()
    assert endpoint.connections == 0


@pytest.mark.parametrize(
    ("behavior", "status", "said"),
    [
        (closes_connection, "no_model", "closed the connection"),
        (sends(b"garbage"), "no_model", "no JSON"),
        (sends(b"<html>down</html>", 502), "no_model", "502"),
        (endless, "no_model", "more than"),
        (rejects(429, "busy"), "no_model", "busy"),
        (rejects(500, "engine died"), "no_model", "engine died"),
        (says(""), "unreadable", "could not be read"),
        (says("<think>It may be", finish_reason="length"), "no_model", "VLM__MAX_TOKENS"),
        (says('{"ans', finish_reason="length"), "unreadable", "VLM__MAX_TOKENS"),
        # Half of an answer is read, and not given: the claims were cut off.
        (says('{"answer": "gar'), "not_shown", "it made none that cites evidence"),
        (says("I would say garlic."), "unreadable", "could not be read"),
        (says("[[[[" * 200), "unreadable", "could not be read"),
        (says(answer(number=9)), "not_shown", "[9], which does not exist"),
    ],
)
async def test_each_fault_has_its_own_outcome_with_the_evidence_and_the_next_question_is_answered(
    environment: ToolEnvironment,
    endpoint: FakeVlmServer,
    url: str,
    behavior: Behavior,
    status: str,
    said: str,
) -> None:
    async with asked(environment, url, max_response_bytes=100_000) as tools:
        endpoint.default_behavior = behavior
        result = await ask(tools)
        assert (result["status"], result.get("answer")) == (status, None)
        assert said in result["missing"]
        assert result["source"] == GARLIC
        endpoint.default_behavior = good
        assert (await ask(tools))["status"] == "answered"
    await endpoint.quiet.wait()


@pytest.mark.parametrize(
    ("refusal", "counts"),
    [
        ("At most 1 image(s) may be provided in one prompt.", [3, 1]),
        ("This model's maximum context length is 4096 tokens.", [3, 1]),
    ],
)
async def test_a_request_with_too_many_images_is_tried_again_with_fewer(
    environment: ToolEnvironment,
    endpoint: FakeVlmServer,
    url: str,
    refusal: str,
    counts: list[int],
) -> None:
    def images(body: dict[str, Any]) -> int:
        return json.dumps(body).count('"image_url": {')

    async def takes_one(
        server: FakeVlmServer, body: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        await (good if images(body) <= 1 else rejects(400, refusal))(server, body, receive, send)

    endpoint.default_behavior = takes_one
    async with asked(environment, url) as tools:
        ids = await tools.ids()
        others = [ids[name] for name in sorted(ids) if name != GARLIC][:2]
        result = await tools.call(
            "answer_question", question="What is it?", assets=[ids[GARLIC], *others]
        )
    assert [images(body) for body in endpoint.questions[:2]] == counts
    assert (result["status"], result["answer"]) == ("answered", "garlic")
    assert any("the model did not see [2], [3]" in note for note in result["notes"])


@pytest.mark.parametrize("box", [[9000, 9000, 9900, 9900], [1, 2], "left", [0, 0, 0, 0]])
async def test_an_invalid_box_is_left_out_and_reported(
    environment: ToolEnvironment, endpoint: FakeVlmServer, url: str, box: object
) -> None:
    endpoint.behaviors.append(says(answer(box=box)))
    async with asked(environment, url) as tools:
        (claim,) = (await ask(tools))["claims"]
    assert "box" not in claim
    assert "is not a valid box in image 1" in claim["reasons"][0]


async def test_a_storm_of_refusals_is_weathered_by_all_who_ask(
    environment: ToolEnvironment, endpoint: FakeVlmServer, url: str
) -> None:
    endpoint.behaviors.extend([rejects(429, "busy"), closes_connection, rejects(503)] * 5)
    async with asked(environment, url, max_concurrent_requests=4, max_retries=20) as tools:
        results = await asyncio.gather(*(ask(tools, n) for n in range(16)))
    assert [each["status"] for each in results] == ["answered"] * 16
    await endpoint.quiet.wait()


async def test_an_endpoint_killed_in_the_middle_of_answers_is_used_again_when_it_is_back(
    environment: ToolEnvironment,
) -> None:
    dying = FakeVlmServer()
    dying.default_behavior = when_released
    stack = serving(dying)
    url = await stack.__aenter__()
    port = int(url.removesuffix("/v1").rpartition(":")[2])
    async with asked(environment, url, max_retries=0) as tools:
        calls = [asyncio.create_task(ask(tools, n)) for n in range(4)]
        await dying.arrivals(4)
        dying.default_behavior = closes_connection
        for transport in list(dying.transports):
            transport.abort()
        results = await asyncio.gather(*calls)
        assert {each["status"] for each in results} == {"no_model"}
        assert all(each["evidence"] for each in results)
        await stack.__aexit__(None, None, None)
        assert "cannot be reached" in (await ask(tools))["missing"]
        back = FakeVlmServer()
        back.default_behavior = good
        async with serving(back, port):
            assert (await ask(tools))["status"] == "answered"


async def test_a_slow_endpoint_costs_no_more_than_the_call_may_take(
    environment: ToolEnvironment, endpoint: FakeVlmServer, url: str
) -> None:
    # Searching comes out of it too, and has to leave time for the question to get there.
    bounded = environment.replace(limits=Limits(answer_timeout_seconds=3))
    async with asked(bounded, url) as tools:
        endpoint.default_behavior = good
        await ask(tools)
        endpoint.default_behavior = when_released
        result = await ask(tools)
        assert result["status"] == "no_model"
        assert "exceeded its 3.0 s" in result["missing"]
        assert result["evidence"]
        await endpoint.disconnected.wait()
        endpoint.released.set()
    await endpoint.quiet.wait()


async def test_a_failed_second_check_leaves_the_claim_unchecked(
    environment: ToolEnvironment, endpoint: FakeVlmServer, url: str
) -> None:
    endpoint.behaviors.append(good)
    endpoint.default_behavior = rejects(500, "engine died")
    async with asked(environment, url) as tools:
        result = await ask(tools)
    assert (result["status"], result["claims"][0]["verdict"]) == ("answered", "unchecked")
    assert any("no second check" in each for each in result["claims"][0]["reasons"])


async def test_an_unknown_model_is_reported_with_the_available_ones(
    environment: ToolEnvironment, url: str
) -> None:
    async with asked(environment, url, model="lava") as tools:
        result = await ask(tools)
    assert result["status"] == "no_model"
    assert "no model 'lava'" in result["missing"]
    assert MODEL in result["missing"]


async def test_a_caller_who_leaves_takes_the_question_to_the_model_with_him(
    environment: ToolEnvironment, endpoint: FakeVlmServer, url: str
) -> None:
    endpoint.default_behavior = when_released
    async with asked(environment, url) as tools:
        call = asyncio.create_task(ask(tools))
        await endpoint.arrivals(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await endpoint.disconnected.wait()
    await endpoint.quiet.wait()
