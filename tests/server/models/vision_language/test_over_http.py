from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from sightline.server.models.vision_language.vlm_client import VlmCallStats, VlmClient
from sightline.storage.errors import (
    ModelError,
    ModelOverloadedError,
    ModelUnavailableError,
    describe,
)
from sightline.tools.vlm.vision_language_model import (
    ModelRefusedError,
    ModelReplyError,
    ModelTimeoutError,
    Reply,
    Request,
    UnknownModelError,
)
from tests.server.models.vision_language.conftest import FakeSleep, MakeClient
from tests.support.fake_vlm_server import (
    MODEL,
    Behavior,
    FakeVlmServer,
    closes_connection,
    endless,
    rejects,
    rejects_field,
    says,
    sends,
    serving,
    when_released,
)

#: Short for tests that reach it, and long enough that other tests do not.
SHORT_SECONDS = 1.0


@pytest.fixture
async def endpoint() -> FakeVlmServer:
    return FakeVlmServer()


@pytest.fixture
async def url(endpoint: FakeVlmServer) -> AsyncIterator[str]:
    async with serving(endpoint) as address:
        yield address


def question(number: int = 0) -> Request:
    return Request((f"Is there a van? ({number})",))


async def test_sixteen_concurrent_requests_respect_the_concurrency_limit(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    endpoint.default_behavior = when_released
    client = make_client(url, max_concurrent_requests=4)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.ask(question(n))) for n in range(16)]
        await endpoint.arrivals(4)
        assert endpoint.running == 4
        endpoint.released.set()
    assert [task.result().text for task in tasks] == ["yes"] * 16
    assert (endpoint.max_running, len(endpoint.questions)) == (4, 16)
    await client.close()
    await endpoint.quiet.wait()


@pytest.mark.parametrize(
    ("behavior", "error", "message"),
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
        (rejects(400, "bad"), ModelRefusedError, "bad"),
        (sends(b"<html>" * 100_000, 502), ModelUnavailableError, "too long"),
        (closes_connection, ModelUnavailableError, "closed the connection"),
        (rejects(500, "engine died"), ModelUnavailableError, "engine died"),
        (rejects(429, "busy"), ModelOverloadedError, "busy"),
    ],
)
async def test_each_failure_has_its_own_error_and_the_next_request_succeeds(
    endpoint: FakeVlmServer,
    url: str,
    make_client: MakeClient,
    behavior: Behavior,
    error: type[ModelError],
    message: str,
) -> None:
    client = make_client(url, max_retries=1, max_response_bytes=100_000)
    endpoint.behaviors.extend([behavior, behavior])
    with pytest.raises(error) as caught:
        await client.ask(question())
    assert message in describe(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    endpoint.behaviors.clear()
    assert (await client.ask(question())).text == "yes"
    await client.close()
    await endpoint.quiet.wait()


async def test_all_callers_survive_many_rejections_and_lost_connections(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient, fake_sleep: FakeSleep
) -> None:
    storm: list[Behavior] = [rejects(429, "busy"), closes_connection, rejects(503)]
    endpoint.behaviors.extend(storm * 5)
    client = make_client(url, max_concurrent_requests=4, max_retries=20, circuit_max_failures=1000)
    replies = await asyncio.gather(*(client.ask(question(n)) for n in range(16)))
    assert [reply.text for reply in replies] == ["yes"] * 16
    assert len(fake_sleep.seconds) == 15
    await client.close()
    await endpoint.quiet.wait()


async def test_a_slow_answer_times_out_and_its_connection_is_closed(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient, observed: list[VlmCallStats]
) -> None:
    client = make_client(url)
    await client.ask(question(1))  # opens the connection, so that all time is for the answer
    endpoint.default_behavior = when_released
    with pytest.raises(ModelTimeoutError, match=r"its 1.0 s while the model was answering"):
        await client.ask(Request(("?",), deadline_seconds=SHORT_SECONDS))
    await endpoint.disconnected.wait()
    await endpoint.quiet.wait()
    assert [each.outcome for each in observed] == ["answered", "timed_out"]
    endpoint.released.set()
    assert (await client.ask(question())).text == "yes"


async def test_the_deadline_includes_the_wait_for_a_free_slot(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    endpoint.default_behavior = when_released
    client = make_client(url, max_concurrent_requests=1)
    first = asyncio.create_task(client.ask(question(1)))
    await endpoint.arrivals(1)
    with pytest.raises(ModelTimeoutError, match="waiting for a free slot"):
        await client.ask(Request(("?",), deadline_seconds=SHORT_SECONDS))
    endpoint.released.set()
    assert (await first).text == "yes"
    assert len(endpoint.questions) == 1
    assert client.circuit_state == "closed"


async def test_slow_answers_open_the_circuit(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    client = make_client(url, circuit_max_failures=1, circuit_reset_seconds=1000)
    await client.ask(question(1))
    endpoint.default_behavior = when_released
    with pytest.raises(ModelTimeoutError):
        await client.ask(Request(("?",), deadline_seconds=SHORT_SECONDS))
    with pytest.raises(ModelUnavailableError, match="Requests resume in"):
        await client.ask(question())


async def test_a_cancelled_call_ends_its_request_and_frees_its_slot(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient, observed: list[VlmCallStats]
) -> None:
    endpoint.default_behavior = when_released
    client = make_client(url, max_concurrent_requests=1, circuit_max_failures=1)
    call = asyncio.create_task(client.ask(question()))
    await endpoint.arrivals(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await endpoint.disconnected.wait()
    await endpoint.quiet.wait()
    assert [each.outcome for each in observed] == ["cancelled"]
    endpoint.released.set()
    assert (await client.ask(question())).text == "yes"


async def start_probe(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> tuple[VlmClient, asyncio.Task[Reply]]:
    """Open the circuit with one failure and start the call that probes the endpoint."""
    now = 0.0
    client = make_client(
        url, clock=lambda: now, max_retries=0, circuit_max_failures=1, circuit_reset_seconds=10.0
    )
    endpoint.behaviors.extend([closes_connection, when_released])
    with pytest.raises(ModelUnavailableError):
        await client.ask(question())
    now = 11.0
    probe = asyncio.create_task(client.ask(question(1)))
    await endpoint.arrivals(2)
    return client, probe


async def test_one_call_probes_the_endpoint_when_the_circuit_is_half_open(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    client, probe = await start_probe(endpoint, url, make_client)
    with pytest.raises(ModelUnavailableError, match="Requests resume in"):
        await client.ask(question(2))
    endpoint.released.set()
    assert (await probe).text == "yes"
    assert (await client.ask(question(2))).text == "yes"
    assert len(endpoint.questions) == 3


async def test_after_a_cancelled_probe_the_next_call_probes(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    client, probe = await start_probe(endpoint, url, make_client)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert client.circuit_state == "half-open"
    assert (await client.ask(question(2))).text == "yes"


async def test_a_client_works_again_after_a_restart_of_the_endpoint(
    make_client: MakeClient,
) -> None:
    endpoint = FakeVlmServer()
    async with serving(endpoint) as url:
        client = make_client(url, max_retries=1)
        assert (await client.ask(question())).text == "yes"
        assert await client.health() == [MODEL]
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        await client.ask(question(1))
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        await client.health()
    port = int(url.removesuffix("/v1").rpartition(":")[2])
    async with serving(FakeVlmServer(answer="back"), port):
        assert (await client.ask(question(1))).text == "back"


async def test_an_unknown_model_is_an_error_with_the_available_models(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    client = make_client(url, model="lava")
    for call in (client.ask(question()), client.health()):
        with pytest.raises(UnknownModelError, match="no model 'lava'") as caught:
            await call
        assert caught.value.details == f"{url}; available: '{MODEL}'"
    astray = make_client(url.removesuffix("/v1") + "/v2")
    with pytest.raises(ModelReplyError, match="no OpenAI-compatible endpoint"):
        await astray.health()
    with pytest.raises(ModelRefusedError, match="404"):
        await astray.ask(question())


async def test_concurrent_calls_share_the_unsupported_fields(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    endpoint.default_behavior = rejects_field("response_format")
    client = make_client(url)
    requests = [Request((f"{n}",), schema={"type": "object"}) for n in range(6)]
    replies = await asyncio.gather(*map(client.ask, requests))
    assert [reply.text for reply in replies] == ["yes"] * 6
    await client.ask(Request(("last",), schema={"type": "object"}))
    assert "response_format" not in endpoint.questions[-1]
    assert len(endpoint.questions) <= 2 * len(requests) + 1


async def test_hostile_text_of_a_server_is_returned_as_text(
    endpoint: FakeVlmServer, url: str, make_client: MakeClient
) -> None:
    endpoint.behaviors.append(says("\x00<script>车\u202e", logprobs={"content": "none"}))
    reply = await make_client(url).ask(Request(("?",), probabilities=True))
    assert (reply.text, reply.tokens) == ("<script>车\u202e", None)
