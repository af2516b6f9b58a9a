from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from sightline.server.config.settings import VlmSettings
from sightline.server.models.vision_language.vlm_client import VlmCallStats
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.errors import (
    ConfigurationError,
    InvalidArgumentError,
    MediaError,
    ModelError,
    ModelOverloadedError,
    ModelUnavailableError,
    UnknownNameError,
    describe,
)
from sightline.tools.boxes.model_families import choose_profile
from sightline.tools.shared.images import EncodedImage
from sightline.tools.vlm.vision_language_model import (
    ModelRefusedError,
    ModelReplyError,
    Request,
    UnknownModelError,
)
from tests.server.models.vision_language.conftest import FakeSleep, MakeClient
from tests.support.fake_vlm_server import MODEL, completion

REQUEST = Request(("Is there a van?",))
Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """A transport that returns the given responses in order and records the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.handle)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests if request.content]

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "llava"}, {"id": "qwen"}]})
        answer = self.answers.pop(0) if self.answers else ok()
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(text: str = "Yes.", **more: object) -> httpx.Response:
    return httpx.Response(200, json=completion(text, **more))


def refused(status: int, message: str = "no", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}}, headers=headers)


async def test_a_request_is_sent_as_an_openai_chat_completion(make_client: MakeClient) -> None:
    server = Server(ok("A van."))
    client = make_client(transport=server.transport, api_key=SecretStr("sk-1"))
    image = Image.new("RGB", (640, 480), "red")
    reply = await client.ask(
        Request(("Picture 1: ", image, "What is it?"), system="Be brief.", max_tokens=20, seed=7)
    )

    assert (reply.text, reply.finish, reply.model, reply.cached) == ("A van.", "stop", MODEL, False)
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.answer_tokens) == (11, 3)
    assert [placement.original for placement in reply.placements] == [(640, 480)]
    (request,) = server.requests
    assert str(request.url) == "http://vlm.test/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-1"
    (body,) = server.bodies
    url = body["messages"][1]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")
    body["messages"][1]["content"][1]["image_url"]["url"] = "..."
    assert body == {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Picture 1: "},
                    {"type": "image_url", "image_url": {"url": "..."}},
                    {"type": "text", "text": "What is it?"},
                ],
            },
        ],
        "max_tokens": 20,
        "temperature": 0.0,
        "seed": 7,
    }


async def test_a_schema_is_sent_and_the_json_answer_parsed(make_client: MakeClient) -> None:
    server = Server(ok('{"answer": 3}'), ok('```json\n{"answer": 4, "claims": ["a'))
    client = make_client(transport=server.transport)
    schema: dict[str, Any] = {"type": "object", "properties": {"answer": {"type": "integer"}}}
    whole = await client.ask(Request(("How many?",), schema=schema))
    assert (whole.data, whole.data_repaired) == ({"answer": 3}, False)
    sent = server.bodies[0]["response_format"]
    assert (sent["type"], sent["json_schema"]["schema"]) == ("json_schema", schema)
    cut = await client.ask(Request(("How many now?",), schema=schema))
    assert (cut.data, cut.data_repaired) == ({"answer": 4, "claims": ["a"]}, True)


async def test_a_family_without_structured_output_gets_no_schema(
    make_client: MakeClient,
) -> None:
    server = Server(ok("white [1]"))
    client = make_client(transport=server.transport, profile=choose_profile("builtin-llava"))
    reply = await client.ask(Request(("?",), schema={"type": "object"}))
    assert "response_format" not in server.bodies[0]
    assert reply.data == [1]
    assert reply.data_repaired


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("yes", "yes"),
        (" No.", "no"),
        ("Yes, there is.", "yes"),
        ("nothing", None),
        ("", None),
        ("maybe", None),
    ],
)
async def test_choices_are_sent_and_the_chosen_one_is_returned(
    make_client: MakeClient, text: str, choice: str | None
) -> None:
    server = Server(ok(text))
    client = make_client(transport=server.transport)
    reply = await client.ask(Request(("Is it?",), choices=("yes", "no")))
    assert server.bodies[0]["structured_outputs"] == {"choice": ["yes", "no"]}
    assert (reply.text, reply.choice) == (text, choice)


async def test_log_probabilities_are_requested_and_parsed(make_client: MakeClient) -> None:
    top = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.5}]
    logprobs = {"content": [{"token": "yes", "logprob": -0.1, "top_logprobs": top}]}
    server = Server(ok("yes", logprobs=logprobs), ok("yes", logprobs={"content": [{"token": 1}]}))
    client = make_client(transport=server.transport)
    reply = await client.ask(Request(("Is it?",), probabilities=True))
    assert server.bodies[0]["logprobs"] is True
    assert reply.tokens is not None
    assert reply.tokens[0].alternatives == (("yes", -0.1), ("no", -2.5))
    senseless = await client.ask(Request(("Is it now?",), probabilities=True))
    assert (senseless.text, senseless.tokens) == ("yes", None)


async def test_unsupported_fields_are_omitted_from_then_on(
    make_client: MakeClient,
) -> None:
    server = Server(
        refused(400, "Unknown parameter: 'response_format'"),
        refused(400, "`logprobs` is not supported"),
        refused(422, "'max_tokens' is not supported; use 'max_completion_tokens' instead"),
        ok('{"a": 1}'),
        ok('{"a": 2}'),
    )
    client = make_client(transport=server.transport)
    request = Request(("?",), schema={"type": "object"}, probabilities=True, max_tokens=9)
    assert (await client.ask(request)).data == {"a": 1}
    again = Request(("And?",), schema={"type": "object"}, probabilities=True, max_tokens=9)
    assert (await client.ask(again)).data == {"a": 2}
    last = server.bodies[-1]
    assert last["max_completion_tokens"] == 9
    assert {"response_format", "logprobs", "top_logprobs", "max_tokens"}.isdisjoint(last)
    assert len(server.bodies) == 5


async def test_a_rejected_schema_is_omitted_from_that_request_only(
    make_client: MakeClient,
) -> None:
    server = Server(
        refused(400, "Failed to transform json schema into a grammar: Unsupported type"),
        ok('{"a": 1}'),
        ok('{"a": 2}'),
    )
    client = make_client(transport=server.transport)
    assert (await client.ask(Request(("?",), schema={"type": "objekt"}))).data == {"a": 1}
    assert (await client.ask(Request(("?",), schema={"type": "object"}))).data == {"a": 2}
    assert ["response_format" in body for body in server.bodies] == [True, False, True]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_overload_and_server_errors_are_retried(
    make_client: MakeClient, fake_sleep: FakeSleep, status: int, observed: list[VlmCallStats]
) -> None:
    client = make_client(transport=Server(refused(status), refused(status), ok("Yes.")).transport)
    assert (await client.ask(REQUEST)).text == "Yes."
    assert len(fake_sleep.seconds) == 2
    assert fake_sleep.seconds[0] < fake_sleep.seconds[1]
    assert [(each.outcome, each.requests) for each in observed] == [("answered", 3)]


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        httpx.ConnectTimeout("too slow"),
    ],
)
async def test_a_lost_connection_is_retried(
    make_client: MakeClient, fake_sleep: FakeSleep, error: Exception
) -> None:
    client = make_client(transport=Server(error, ok("Yes.")).transport)
    assert (await client.ask(REQUEST)).text == "Yes."
    assert len(fake_sleep.seconds) == 1


async def test_the_number_of_retries_is_limited(make_client: MakeClient) -> None:
    server = Server(*[httpx.ConnectError("refused")] * 9)
    client = make_client(transport=server.transport, max_retries=2)
    with pytest.raises(ModelUnavailableError, match="model cannot be reached") as caught:
        await client.ask(REQUEST)
    assert caught.value.details == "http://vlm.test/v1: refused"
    assert len(server.requests) == 3


async def test_retry_after_of_the_server_is_respected(
    make_client: MakeClient, fake_sleep: FakeSleep
) -> None:
    busy = refused(429, "slow down", **{"Retry-After": "7"})
    await make_client(transport=Server(busy, ok()).transport).ask(REQUEST)
    assert 7 <= fake_sleep.seconds[0] < 8


async def test_a_retry_after_the_deadline_is_not_started(
    make_client: MakeClient, fake_sleep: FakeSleep
) -> None:
    busy = refused(429, "slow down", **{"Retry-After": "30"})
    client = make_client(transport=Server(busy, ok()).transport, timeout_seconds=20)
    with pytest.raises(ModelOverloadedError, match=r"is overloaded \(HTTP 429\)"):
        await client.ask(REQUEST)
    assert fake_sleep.seconds == []


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (refused(400, "This model's maximum context length is 1024"), ModelRefusedError, "1024"),
        (refused(401, "bad key"), ModelRefusedError, "SIGHTLINE_VLM__API_KEY"),
        (refused(413, "no"), ModelRefusedError, r"too long for .* \(HTTP 413\)"),
        (refused(400, "no"), ModelRefusedError, r"refused the request \(HTTP 400\)"),
        (
            httpx.Response(302, headers={"location": "http://evil.test"}),
            ModelRefusedError,
            "Redirects are not followed",
        ),
        (refused(404), UnknownModelError, "no model 'test-model'.*'llava', 'qwen'"),
        (httpx.Response(200, text="<html>hello</html>"), ModelReplyError, "no JSON.*<html>"),
        (httpx.Response(200, json=[1]), ModelReplyError, "no object"),
        (httpx.Response(200, json={"choices": []}), ModelReplyError, "no answer"),
        (httpx.Response(200, json={"choices": [{"message": 3}]}), ModelReplyError, "no message"),
        (
            httpx.Response(200, json={"choices": [{"message": {"content": 3}}]}),
            ModelReplyError,
            "no text",
        ),
        (httpx.Response(200, json={"error": {"message": "oom"}}), ModelReplyError, "oom"),
        (httpx.Response(200, content=b'{"choices": [{"mess'), ModelReplyError, "no JSON"),
        (httpx.Response(200, content=b"\xff\xfe"), ModelReplyError, "no JSON"),
        (httpx.Response(200, content=b"[" * 100_000), ModelReplyError, "no JSON"),
        (httpx.Response(200, content=b" " * 5000), ModelReplyError, "more than 4,000 bytes"),
        (
            httpx.Response(200, content=b"x", headers={"content-encoding": "br"}),
            ModelReplyError,
            "compressed",
        ),
    ],
)
async def test_errors_that_a_retry_would_not_fix_are_raised_at_once(
    make_client: MakeClient,
    fake_sleep: FakeSleep,
    answer: httpx.Response,
    error: type[ModelError],
    message: str,
    observed: list[VlmCallStats],
) -> None:
    server = Server(answer)
    if error is ModelReplyError and "4,000" not in message:
        client = make_client(transport=server.transport)
    else:
        client = make_client(transport=server.transport, max_response_bytes=4000)
    with pytest.raises(error) as caught:
        await client.ask(REQUEST)
    assert re.search(message, describe(caught.value))
    assert "vlm.test" not in str(caught.value)
    assert fake_sleep.seconds == []
    assert [each.outcome for each in observed] == ["failed"]


async def test_no_error_contains_the_key_even_if_the_server_repeats_it(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = Server(refused(401, "Incorrect API key provided: sk-secret"), ok())
    client = make_client(
        "http://ann:hunter2@vlm.test/v1", transport=server.transport, api_key=SecretStr("sk-secret")
    )
    with pytest.raises(ModelRefusedError) as caught:
        await client.ask(REQUEST)
    assert "key provided: ***" in caught.value.details
    assert "hunter2" not in describe(caught.value)
    assert "sk-secret" not in caplog.text + repr(client.__dict__)


async def test_the_error_for_an_invalid_key_does_not_contain_it(
    make_client: MakeClient,
) -> None:
    client = make_client(transport=Server().transport, api_key=SecretStr("ключ"))
    with pytest.raises(ModelUnavailableError, match="cannot be requested") as caught:
        await client.ask(REQUEST)
    assert caught.value.__cause__ is not None
    assert "ключ" not in str(caught.value) + str(caught.value.__cause__)


async def test_the_same_greedy_request_is_answered_from_the_cache(
    make_client: MakeClient, observed: list[VlmCallStats]
) -> None:
    server = Server(ok("One."), ok("Two."), ok("Three."))
    client = make_client(transport=server.transport)
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    first = await client.ask(Request((red, "What?")))
    again = await client.ask(Request((Image.new("RGB", (64, 64), "red"), "What?")))
    other = await client.ask(Request((blue, "What?")))
    assert [(r.text, r.cached) for r in (first, again, other)] == [
        ("One.", False),
        ("One.", True),
        ("Two.", False),
    ]
    assert again.placements == first.placements
    assert [each.outcome for each in observed] == ["answered", "cached", "answered"]
    assert [each.answer_tokens for each in observed] == [3, 0, 3]


async def test_sampled_answers_are_not_cached(
    make_client: MakeClient,
) -> None:
    client = make_client(transport=Server(ok("One."), ok("Two.")).transport)
    warm = Request(("What?",), temperature=0.7)
    assert [(await client.ask(warm)).text for _ in range(2)] == ["One.", "Two."]


async def test_only_the_most_recently_used_answers_are_cached(make_client: MakeClient) -> None:
    server = Server()
    client = make_client(transport=server.transport, max_cached_responses=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await client.ask(Request((text,)))
    asked = [body["messages"][0]["content"][0]["text"] for body in server.bodies]
    assert asked == ["a", "b", "c", "b"]


async def test_the_circuit_opens_for_a_failing_endpoint_and_closes_after_a_success(
    make_client: MakeClient,
) -> None:
    now = 100.0
    server = Server(*[refused(503, "down")] * 3)
    client = make_client(
        transport=server.transport,
        clock=lambda: now,
        max_retries=0,
        circuit_max_failures=2,
        circuit_reset_seconds=10.0,
    )
    for _ in range(2):
        with pytest.raises(ModelUnavailableError, match=r"failed \(HTTP 503\)"):
            await client.ask(REQUEST)
    assert client.circuit_state == "open"
    with pytest.raises(ModelUnavailableError, match=r"Your last .* failed. Requests resume in 10"):
        await client.ask(REQUEST)
    assert len(server.requests) == 2

    now = 111.0
    assert client.circuit_state == "half-open"
    with pytest.raises(ModelUnavailableError, match=r"failed \(HTTP 503\)"):
        await client.ask(REQUEST)  # the probe fails, and the circuit opens again
    assert client.circuit_state == "open"

    now = 122.0
    assert (await client.ask(REQUEST)).text == "Yes."
    assert client.circuit_state == "closed"


async def test_rejected_requests_do_not_open_the_circuit(make_client: MakeClient) -> None:
    server = Server(*[refused(400, "too long")] * 9)
    client = make_client(transport=server.transport, circuit_max_failures=1)
    for _ in range(3):
        with pytest.raises(ModelRefusedError):
            await client.ask(REQUEST)
    assert client.circuit_state == "closed"


async def test_too_many_images_are_rejected_before_sending(
    make_client: MakeClient,
) -> None:
    server = Server()
    client = make_client(transport=server.transport, profile=choose_profile("llava-1.5"))
    image = Image.new("RGB", (8, 8))
    with pytest.raises(InvalidArgumentError, match=r"2 images.*'llava-1.5' takes at most 1"):
        await client.ask(Request((image, image, "?")))
    with pytest.raises(MediaError):
        await client.ask(Request((EncodedImage(b"no image", "image/png", 1, 1), "?")))
    assert server.requests == []


async def test_health_returns_the_available_models(make_client: MakeClient) -> None:
    client = make_client(transport=Server().transport, model="llava")
    assert await client.health() == ["llava", "qwen"]
    wrong = make_client(transport=Server().transport, model="lava")
    with pytest.raises(UnknownModelError, match="no model 'lava'") as caught:
        await wrong.health()
    assert caught.value.details == "http://vlm.test/v1; available: 'llava', 'qwen'"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (httpx.Response(404), ModelReplyError, "usually ends in /v1"),
        (httpx.Response(401), ModelRefusedError, "SIGHTLINE_VLM__API_KEY"),
        (httpx.Response(503), ModelUnavailableError, "503"),
        (httpx.Response(200, json={"data": 3}), ModelReplyError, "no list of models"),
        (httpx.ConnectError("refused"), ModelUnavailableError, "cannot be reached"),
    ],
)
async def test_health_raises_an_error_that_names_the_problem(
    make_client: MakeClient,
    answer: httpx.Response | Exception,
    error: type[ModelError],
    message: str,
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = make_client(transport=httpx.MockTransport(handle))
    with pytest.raises(error) as caught:
        await client.health()
    assert message in describe(caught.value)


def test_an_endpoint_is_created_from_settings() -> None:
    assert VlmEndpoint.from_settings(VlmSettings()) is None
    endpoint = VlmEndpoint.from_settings(
        VlmSettings(base_url="http://gpu:8000", model="llava-hf/llava-1.5-7b-hf")
    )
    assert endpoint is not None
    assert (endpoint.api_url, endpoint.profile.name, endpoint.max_retries) == (
        "http://gpu:8000/v1",
        "llava-1.5",
        3,
    )
    with pytest.raises(ConfigurationError, match="SIGHTLINE_VLM__MODEL is not"):
        VlmEndpoint.from_settings(VlmSettings(base_url="http://gpu:8000/v1"))
    with pytest.raises(UnknownNameError, match="Unknown model profile 'lava'"):
        VlmEndpoint.from_settings(VlmSettings(base_url="http://g/v1", model="m", profile="lava"))
