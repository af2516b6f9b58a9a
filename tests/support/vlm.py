"""The real VLM client over an endpoint that answers as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.tools.boxes.model_profiles import choose

#: Takes the text of a prompt, with <picture> for each picture, and gives the model's answer.
Answers = Callable[[str], str]


def prompt_text(messages: list[dict[str, Any]]) -> str:
    """Everything that the model reads, on one line a part."""
    texts: list[str] = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        texts += [part["text"] if part["type"] == "text" else "<picture>" for part in content]
    return "\n".join(texts)


def scripted(answers: Answers, *, model: str = "qwen3-vl", **bounds: Any) -> VlmClient:
    """A client whose endpoint is asked nothing but ``answers``."""

    def respond(request: httpx.Request) -> httpx.Response:
        text = answers(prompt_text(json.loads(request.content)["messages"]))
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return httpx.Response(200, json={"model": model, "choices": [choice]})

    return failing(respond, model=model, **bounds)


def failing(
    respond: Callable[[httpx.Request], httpx.Response], *, model: str = "qwen3-vl", **bounds: Any
) -> VlmClient:
    """A client whose endpoint responds so; it may raise what httpx raises."""
    endpoint = Endpoint(base_url="http://vlm.test/v1", model=model, profile=choose(model), **bounds)
    return VlmClient(endpoint, transport=httpx.MockTransport(respond))
