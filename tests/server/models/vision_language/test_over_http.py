"""The client against a real HTTP server that misbehaves: a clear outcome each, and recovery."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from sightline.server.models.vision_language.call_state import Observation
from sightline.storage.errors import ModelError, ModelOverloadedError, ModelUnavailableError
from sightline.tools.vlm.vision_language_model import (
    ModelRefusedError,
    ModelReplyError,
    ModelTimeoutError,
    Request,
    UnknownModelError,
)
from tests.server.models.vision_language.conftest import MakeClient, Waits
from tests.support.vlm_endpoint import (
    MODEL,
    Behaviour,
    VlmEndpoint,
    broken_off,
    endless,
    refuses,
    says,
    sends,
    serving,
    when_released,
    without,
)

#: So short that a test which runs into it is over soon, so long that no test does by accident.
SHORT_SECONDS = 1.0


@pytest.fixture
async def endpoint() -> VlmEndpoint:
    return VlmEndpoint()


@pytest.fixture
async def url(endpoint: VlmEndpoint) -> AsyncIterator[str]:
    async with serving(endpoint) as address:
        yield address


def question(number: int = 0) -> Request:
    return Request((f"Is there a van? ({number})",))


async def test_sixteen_questions_at_once_are_answered_with_bounded_concurrency(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    endpoint.otherwise = when_released
    client = make_client(url, concurrency=4)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.ask(question(n))) for n in range(16)]
        await endpoint.arrivals(4)
        assert endpoint.running == 4
        endpoint.released.set()
    assert [task.result().text for task in tasks] == ["yes"] * 16
    assert (endpoint.most_running, len(endpoint.questions)) == (4, 16)
    await client.close()
    await endpoint.quiet.wait()


@pytest.mark.parametrize(
    ("behaviour", "error", "message"),
    [
        (sends(b"garbage"), ModelReplyError, "no JSON"),
        (sends(b'{"choices": [{"message": {"content": "ye'), ModelReplyError, "no JSON"),
        (sends(b'{"choices": "many"}'), ModelReplyError, "no answer"),
        (sends(b""), ModelReplyError, "no JSON"),
        (endless, ModelReplyError, "more than 100,000 bytes"),
        (
            sends(gzip.compress(b" " * 1_000_000), headers={"content-encoding": "gzip"}),
            ModelReplyError,
            "compressed",
        ),
        (refuses(400, "bad"), ModelRefusedError, "bad"),
        (sends(b"<html>" * 100_000, 502), ModelUnavailableError, "too long"),
        (broken_off, ModelUnavailableError, "broke off its answer"),
        (refuses(500, "engine died"), ModelUnavailableError, "engine died"),
        (refuses(429, "busy"), ModelOverloadedError, "busy"),
    ],
)
async def test_each_misbehaviour_has_its_own_error_and_the_next_question_is_answered(
    endpoint: VlmEndpoint,
    url: str,
    make_client: MakeClient,
    behaviour: Behaviour,
    error: type[ModelError],
    message: str,
) -> None:
    client = make_client(url, retries=1, reply_bytes=100_000)
    endpoint.behaviours.extend([behaviour, behaviour])
    with pytest.raises(error, match=message):
        await client.ask(question())
    endpoint.behaviours.clear()
    assert (await client.ask(question())).text == "yes"
    await client.close()
    await endpoint.quiet.wait()


async def test_a_storm_of_refusals_and_broken_connections_is_weathered_by_all_who_ask(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient, waits: Waits
) -> None:
    storm: list[Behaviour] = [refuses(429, "busy"), broken_off, refuses(503)]
    endpoint.behaviours.extend(storm * 5)
    client = make_client(url, concurrency=4, retries=20, breaker_failures=1000)
    replies = await asyncio.gather(*(client.ask(question(n)) for n in range(16)))
    assert [reply.text for reply in replies] == ["yes"] * 16
    assert len(waits.seconds) == 15
    await client.close()
    await endpoint.quiet.wait()


async def test_a_slow_answer_ends_at_the_deadline_and_its_connection_is_closed(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient, observed: list[Observation]
) -> None:
    client = make_client(url)
    await client.ask(question(1))  # the connection stands: the time is all for the answer
    endpoint.otherwise = when_released
    with pytest.raises(ModelTimeoutError, match=r"1.0 s, .* while the model was answering"):
        await client.ask(Request(("?",), deadline_seconds=SHORT_SECONDS))
    await endpoint.abandoned.wait()
    await endpoint.quiet.wait()
    assert [each.outcome for each in observed] == ["answered", "timed out"]
    endpoint.released.set()
    assert (await client.ask(question())).text == "yes"


async def test_the_deadline_covers_the_wait_for_a_turn(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    endpoint.otherwise = when_released
    client = make_client(url, concurrency=1)
    first = asyncio.create_task(client.ask(question(1)))
    await endpoint.arrivals(1)
    with pytest.raises(ModelTimeoutError, match="waited for its turn"):
        await client.ask(Request(("?",), deadline_seconds=SHORT_SECONDS))
    endpoint.released.set()
    assert (await first).text == "yes"
    assert len(endpoint.questions) == 1
    assert client.breaker == "closed"


async def test_slow_answers_open_the_breaker(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    client = make_client(url, breaker_failures=1, breaker_seconds=1000)
    await client.ask(question(1))
    endpoint.otherwise = when_released
    with pytest.raises(ModelTimeoutError):
        await client.ask(Request(("?",), deadline_seconds=SHORT_SECONDS))
    with pytest.raises(ModelUnavailableError, match=r"last: .*while the model was answering"):
        await client.ask(question())


async def test_a_cancelled_call_gives_up_its_request_and_its_turn(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient, observed: list[Observation]
) -> None:
    endpoint.otherwise = when_released
    client = make_client(url, concurrency=1, breaker_failures=1)
    call = asyncio.create_task(client.ask(question()))
    await endpoint.arrivals(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await endpoint.abandoned.wait()
    await endpoint.quiet.wait()
    assert [each.outcome for each in observed] == ["cancelled"]
    endpoint.released.set()
    assert (await client.ask(question())).text == "yes"


async def test_one_of_many_tries_a_failing_endpoint_when_its_rest_is_over(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    now = 0.0
    client = make_client(
        url, clock=lambda: now, retries=0, breaker_failures=1, breaker_seconds=10.0
    )
    endpoint.behaviours.extend([broken_off, when_released])
    with pytest.raises(ModelUnavailableError):
        await client.ask(question())
    now = 11.0
    probe = asyncio.create_task(client.ask(question(1)))
    await endpoint.arrivals(2)
    with pytest.raises(ModelUnavailableError, match="failed several times"):
        await client.ask(question(2))
    endpoint.released.set()
    assert (await probe).text == "yes"
    assert (await client.ask(question(2))).text == "yes"
    assert len(endpoint.questions) == 3


async def test_a_probe_that_is_cancelled_leaves_the_next_call_to_try(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    now = 0.0
    client = make_client(
        url, clock=lambda: now, retries=0, breaker_failures=1, breaker_seconds=10.0
    )
    endpoint.behaviours.extend([broken_off, when_released])
    with pytest.raises(ModelUnavailableError):
        await client.ask(question())
    now = 11.0
    probe = asyncio.create_task(client.ask(question(1)))
    await endpoint.arrivals(2)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert client.breaker == "half-open"
    assert (await client.ask(question(2))).text == "yes"


async def test_an_endpoint_that_dies_and_comes_back_needs_no_new_client(
    make_client: MakeClient,
) -> None:
    endpoint = VlmEndpoint()
    async with serving(endpoint) as url:
        client = make_client(url, retries=1)
        assert (await client.ask(question())).text == "yes"
        assert await client.health() == [MODEL]
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        await client.ask(question(1))
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        await client.health()
    port = int(url.removesuffix("/v1").rpartition(":")[2])
    async with serving(VlmEndpoint(answer="back"), port):
        assert (await client.ask(question(1))).text == "back"


async def test_a_model_that_is_not_there_is_named_with_those_that_are(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    client = make_client(url, model="lava")
    for call in (client.ask(question()), client.health()):
        with pytest.raises(UnknownModelError, match=rf"no model 'lava' at {url}.*'{MODEL}'"):
            await call
    astray = make_client(url.removesuffix("/v1") + "/v2")
    with pytest.raises(ModelReplyError, match="usually ends in /v1"):
        await astray.health()
    with pytest.raises(ModelRefusedError, match="404"):
        await astray.ask(question())


async def test_concurrent_calls_learn_together_what_a_server_does_not_take(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    endpoint.otherwise = without("response_format")
    client = make_client(url)
    requests = [Request((f"{n}",), schema={"type": "object"}) for n in range(6)]
    replies = await asyncio.gather(*map(client.ask, requests))
    assert [reply.text for reply in replies] == ["yes"] * 6
    assert client.refused_features == {"response_format"}


async def test_text_from_a_server_is_data_whatever_it_says(
    endpoint: VlmEndpoint, url: str, make_client: MakeClient
) -> None:
    endpoint.behaviours.append(says("\x00<script>车\u202e", logprobs={"content": "none"}))
    reply = await make_client(url).ask(Request(("?",), probabilities=True))
    assert (reply.text, reply.tokens) == ("<script>车\u202e", None)
