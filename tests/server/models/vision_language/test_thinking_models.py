"""Replies of models that think, and requests with too many images or tokens."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sightline.tools.vlm.vision_language_model import (
    ModelRefusedError,
    ModelReplyError,
    Request,
    RequestTooLargeError,
    choice_probabilities,
)
from tests.server.models.vision_language.conftest import MakeClient
from tests.server.models.vision_language.test_vlm_client import Server, ok, refused

IS_IT = Request(("Is there a van?",), choices=("yes", "no"), probabilities=True)


def message(finish: str = "stop", **fields: object) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": finish}
    return httpx.Response(200, json={"choices": [choice]})


def tokens(*texts: str) -> dict[str, Any]:
    return {
        "content": [
            {"token": text, "logprob": -0.1, "top_logprobs": [{"token": text, "logprob": -0.1}]}
            for text in texts
        ]
    }


@pytest.mark.parametrize(
    "texts",
    [
        ("<think>", "No", "?", "</think>", "\n\n", "yes"),
        ("No", "?", "</think>", "yes", "."),
        ("<|begin_of_box|>", "yes", "<|end_of_box|>"),
        ("No", " doubt", ".\n", "Answer", ":", " yes"),
        ("**", "Yes", "**"),
    ],
)
async def test_the_verdict_and_its_probability_are_those_of_the_answer(
    make_client: MakeClient, texts: tuple[str, ...]
) -> None:
    server = Server(ok("".join(texts), logprobs=tokens(*texts)))
    reply = await make_client(transport=server.transport).ask(IS_IT)
    assert reply.choice == "yes"
    assert "think" not in reply.text
    shares = choice_probabilities(reply, ("yes", "no"))
    assert shares is not None
    assert shares["yes"] >= 0.5


async def test_a_draft_in_a_field_of_its_own_has_tokens_too(make_client: MakeClient) -> None:
    # vLLM removes the draft from the text, and not from the tokens.
    response = message(reasoning_content="No, wait.", content="yes")
    body = response.json()
    body["choices"][0]["logprobs"] = tokens("<think>", "No", ", wait.", "</think>", "yes")
    server = Server(httpx.Response(200, json=body))
    reply = await make_client(transport=server.transport).ask(IS_IT)
    assert reply.tokens is not None
    assert [token.text for token in reply.tokens] == ["yes"]


@pytest.mark.parametrize(
    "reply",
    [
        message("length", content=None, reasoning_content="The user asks for a van. " * 9),
        message("length", content="", reasoning="The user asks for a van. " * 9),
        message("length", content="<think>The user asks for a van."),
        message("length", content=None),
        message("stop", content=None, reasoning_content="The user asks for a van. " * 9),
    ],
)
async def test_a_reply_without_an_answer_is_an_error_that_says_what_to_do(
    make_client: MakeClient, reply: httpx.Response
) -> None:
    server = Server(*[reply] * 8)
    client = make_client(transport=server.transport)
    for _ in range(7):  # the circuit stays closed: the endpoint works
        with pytest.raises(ModelReplyError) as caught:
            await client.ask(Request(("What is it?",)))
        assert "SIGHTLINE_VLM__MAX_TOKENS" in str(caught.value)
        assert "enable_thinking" in str(caught.value)
    assert len(server.requests) == 7


async def test_an_answer_in_the_field_of_the_draft_is_read(make_client: MakeClient) -> None:
    server = Server(message(content=None, reasoning_content='```json\n{"answer": 3}\n```'))
    client = make_client(transport=server.transport)
    assert (await client.ask(Request(("?",), schema={"type": "object"}))).data == {"answer": 3}


async def test_a_model_that_thinks_gets_more_tokens_for_a_short_answer(
    make_client: MakeClient,
) -> None:
    cut = message("length", content=None, reasoning_content="The user asks")
    server = Server(cut, ok("<think>a</think>yes"), ok("<think>b</think>no"))
    client = make_client(transport=server.transport, max_tokens=900)
    first = await client.ask(Request(("a?",), choices=("yes", "no"), max_tokens=4))
    second = await client.ask(Request(("b?",), choices=("yes", "no"), max_tokens=4))
    assert (first.choice, second.choice) == ("yes", "no")
    assert [body["max_tokens"] for body in server.bodies] == [4, 900, 900]


@pytest.mark.parametrize(
    ("said", "max_images"),
    [
        ("At most 1 image(s) may be provided in one prompt.", 1),
        ("At most 2 image(s) may be provided in one request.", 2),
        ("Only one image is supported by this model", 1),
        ("Too many images in the request", None),
        ("This model's maximum context length is 4096 tokens. However, you requested 5000", None),
        ("The decoder prompt (length 6000) is longer than the maximum model length of 4096.", None),
        ("'max_tokens' or 'max_completion_tokens' is too large: 512. The context length is", None),
        ("the request exceeds the available context size, try increasing it", None),
        ("Requested token count exceeds the model's maximum context length", None),
    ],
)
async def test_a_request_that_is_too_large_is_told_apart(
    make_client: MakeClient, said: str, max_images: int | None
) -> None:
    server = Server(refused(400, said))
    with pytest.raises(RequestTooLargeError) as caught:
        await make_client(transport=server.transport).ask(Request(("?",)))
    assert caught.value.max_images == max_images
    assert len(server.requests) == 1


async def test_any_other_refusal_is_not_too_large(make_client: MakeClient) -> None:
    for said in ("The image could not be decoded", "image_url must be a string", "no"):
        with pytest.raises(ModelRefusedError) as caught:
            await make_client(transport=Server(refused(400, said)).transport).ask(Request(("?",)))
        assert not isinstance(caught.value, RequestTooLargeError)
