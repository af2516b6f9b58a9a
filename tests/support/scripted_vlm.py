"""The real VLM client with a transport that returns scripted answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from sightline.server.models.vision_language.vlm_client import VlmClient
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.tools.boxes.model_families import choose_profile

#: Maps the text of a prompt, with <picture> for each image, to the answer.
Answers = Callable[[str], str]


def prompt_text(messages: list[dict[str, Any]]) -> str:
    """Return the text of all messages, one part per line."""
    texts: list[str] = []
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        texts += [part["text"] if part["type"] == "text" else "<picture>" for part in content]
    return "\n".join(texts)


def scripted(answers: Answers, *, model: str = "qwen3-vl", **limits: Any) -> VlmClient:
    """Return a client whose endpoint answers with ``answers``."""

    def respond(request: httpx.Request) -> httpx.Response:
        text = answers(prompt_text(json.loads(request.content)["messages"]))
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return httpx.Response(200, json={"model": model, "choices": [choice]})

    return failing(respond, model=model, **limits)


def failing(
    respond: Callable[[httpx.Request], httpx.Response], *, model: str = "qwen3-vl", **limits: Any
) -> VlmClient:
    """Return a client whose endpoint calls ``respond``, which may raise httpx errors."""
    endpoint = VlmEndpoint(
        base_url="http://vlm.test/v1", model=model, profile=choose_profile(model), **limits
    )
    return VlmClient(endpoint, transport=httpx.MockTransport(respond))
