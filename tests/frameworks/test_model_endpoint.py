"""The scripted model answers over HTTP, and the checks read what arrived."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from PIL import Image

from benchmarks.frameworks import checks
from benchmarks.frameworks.model_endpoint import Conversation, ModelEndpoint, ToolCall, serving
from tests.support.sample_images import encoded, picture

CALL = ToolCall("view_image", {"asset": "a1"})
JPEG = base64.b64encode(encoded(picture(1, (400, 300)), quality=95)).decode()
TOOL = {"name": "x_view_image", "parameters": {"type": "object", "properties": {}}}


@contextmanager
def model(*script: ToolCall) -> Iterator[tuple[ModelEndpoint, httpx.Client]]:
    endpoint = ModelEndpoint()
    endpoint.conversation = Conversation(script)
    with serving(endpoint) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield endpoint, client


def ask(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return dict(client.post(path, json={"model": "m", **body}).raise_for_status().json())


def test_chat_completions_call_the_tool_by_the_name_that_the_framework_uses() -> None:
    tools = [{"type": "function", "function": TOOL}]
    with model(CALL) as (_, client):
        first = ask(client, "/v1/chat/completions", {"messages": [], "tools": tools})
        second = ask(client, "/v1/chat/completions", {"messages": [], "tools": tools})
    call = first["choices"][0]["message"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("x_view_image", {"asset": "a1"})
    assert "tool_calls" not in second["choices"][0]["message"]


def test_responses_call_the_tool() -> None:
    with model(CALL) as (_, client):
        answer = ask(
            client, "/v1/responses", {"input": [], "tools": [{"type": "function", **TOOL}]}
        )
    assert answer["output"][0]["name"] == "x_view_image"


def test_gemini_calls_the_tool() -> None:
    with model(CALL) as (_, client):
        body = {"contents": [], "tools": [{"functionDeclarations": [TOOL]}]}
        answer = ask(client, "/v1beta/models/gemini:generateContent", body)
    call = answer["candidates"][0]["content"]["parts"][0]["functionCall"]
    assert (call["name"], call["args"]) == ("x_view_image", {"asset": "a1"})


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_a_streamed_answer_contains_the_call(path: str) -> None:
    tools = [{"type": "function", **TOOL, "function": TOOL}]
    with model(CALL) as (_, client):
        body = {"model": "m", "stream": True, "messages": [], "input": [], "tools": tools}
        text = client.post(f"/v1/{path}", json=body).raise_for_status().text
    events = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert any("x_view_image" in event for event in events)


def test_a_request_without_tools_does_not_use_up_the_script() -> None:
    with model(CALL) as (endpoint, client):
        ask(client, "/v1/chat/completions", {"messages": []})
    assert (endpoint.conversation.served, endpoint.conversation.requests) == (0, [])


def after_call(*messages: dict[str, Any]) -> dict[str, Any]:
    called = {"role": "assistant", "tool_calls": [{"id": "call_1"}]}
    return {"messages": [{"role": "user", "content": JPEG}, called, *messages]}


def image_part(data: str = JPEG) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def test_an_image_in_a_message_of_the_user_reaches_the_model() -> None:
    request = after_call(
        {"role": "tool", "content": "{}"}, {"role": "user", "content": [image_part()]}
    )
    assert checks.check_image(request, "call_1").passed


def test_an_image_in_a_message_of_a_tool_does_not() -> None:
    request = after_call({"role": "tool", "content": [image_part()]})
    outcome = checks.check_image(request, "call_1")
    assert (outcome.passed, "OpenAI rejects" in outcome.detail) == (False, True)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_base64_as_text_does_not_and_is_counted(form: str) -> None:
    noise = Image.effect_noise((60, 60), 80)
    data = base64.b64encode(encoded(noise, form)).decode()
    request = after_call({"role": "tool", "content": f"[ImageContent(data='{data}')]"})
    outcome = checks.check_image(request, "call_1")
    assert not outcome.passed
    assert int(outcome.detail.split()[3]) > 1000


def test_a_word_in_place_of_the_image_does_not() -> None:
    request = after_call({"role": "tool", "content": "{} [Image]"})
    assert checks.check_image(request, "call_1") == checks.Outcome(False, "no image")


@pytest.mark.parametrize("key", ["inlineData", "inline_data"])
def test_an_image_in_a_function_response_of_gemini_reaches_the_model(key: str) -> None:
    response = {"response": {}, "parts": [{key: {"mimeType": "image/jpeg", "data": JPEG}}]}
    call = {"parts": [{"functionCall": {"id": "call_1", "name": "view_image"}}]}
    request = {"contents": [call, {"parts": [{"functionResponse": response}]}]}
    assert checks.check_image(request, "call_1").passed


def test_an_image_in_an_output_of_the_responses_api_reaches_the_model() -> None:
    part = {"type": "input_image", "image_url": f"data:image/jpeg;base64,{JPEG}"}
    request = {
        "input": [
            {"type": "function_call", "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": [part]},
        ]
    }
    assert checks.check_image(request, "call_1").passed


def published(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "t", "inputSchema": {"type": "object", "properties": {"a": schema}}}]


@pytest.mark.parametrize(
    ("offered", "problem"),
    [
        ({"type": "string"}, "array became"),
        ({"type": "array", "items": {}}, "items lost their type"),
        ({"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/X"}}]}, "dangling"),
    ],
)
def test_a_lost_type_is_a_failure_of_the_conversion(offered: dict[str, Any], problem: str) -> None:
    tool = {"name": "t", "schema": {"properties": {"a": offered}}}
    outcome = checks.check_convert(
        [tool], published({"type": "array", "items": {"type": "number"}})
    )
    assert not outcome.passed
    assert problem in outcome.detail


def test_a_nullable_argument_is_no_failure() -> None:
    tool = {"name": "t", "schema": {"properties": {"a": {"anyOf": [{"type": "number"}, {}]}}}}
    assert checks.check_convert([tool], published({"type": "number"})).passed


def test_filters_must_arrive_as_an_object_with_a_number() -> None:
    request = after_call({"role": "tool", "content": '{"hits":[{"asset":"a1"}]}'})
    typed, text = {"filters": {"price": {"lte": 5}}}, {"filters": '{"price": {"lte": "5"}}'}
    assert checks.check_filters(request, "call_1", [typed], 5).passed
    assert not checks.check_filters(request, "call_1", [text], 5).passed
    assert not checks.check_filters(request, "call_1", [], 5).passed
