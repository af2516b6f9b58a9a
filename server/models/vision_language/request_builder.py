"""A request in the words of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pydantic import JsonValue

from sightline.server.models.vision_language.image_encoding import SentPicture
from sightline.server.models.vision_language.special_tokens import harmless
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.tools.boxes.model_profiles import Verbatim
from sightline.tools.vlm.vision_language_model import Request

#: vLLM and OpenAI both allow twenty; two answers and their spellings need no more than this.
_ALTERNATIVES = 8


def chat_body(
    request: Request, parts: Sequence[str | SentPicture], endpoint: Endpoint
) -> dict[str, JsonValue]:
    """The body of ``POST /chat/completions``; ``parts`` are the request's, pictures made ready."""
    messages: list[JsonValue] = []
    if request.system:
        messages.append({"role": "system", "content": request.system})
    messages.append({"role": "user", "content": content(parts)})
    body: dict[str, JsonValue] = {
        "model": endpoint.model,
        "messages": messages,
        "max_tokens": request.max_tokens or endpoint.max_tokens,
        "temperature": request.temperature,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.probabilities:
        body["logprobs"] = True
        body["top_logprobs"] = _ALTERNATIVES
    if request.choices:
        body["structured_outputs"] = {"choice": list(request.choices)}
    elif request.schema is not None and endpoint.profile.structured:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": dict(request.schema)},
        }
    if endpoint.profile.special_tokens:
        body["skip_special_tokens"] = False
    return body


def content(parts: Sequence[str | SentPicture]) -> list[JsonValue]:
    """Parts of a user's message; text that stands together is one part.

    Servers put a line break between text parts for some templates and none for others. Text is
    joined before it is made harmless, so that a special token cannot be smuggled in two halves.
    """
    joined: list[JsonValue] = []
    for is_text, run in groupby(parts, lambda part: isinstance(part, str)):
        if is_text:
            joined.append({"type": "text", "text": _text(list(run))})
        else:
            joined += [
                {"type": "image_url", "image_url": {"url": part.url}}
                for part in run
                if isinstance(part, SentPicture)
            ]
    return joined


def _text(run: Sequence[str | SentPicture]) -> str:
    texts = [part for part in run if isinstance(part, str)]
    return "".join(
        "".join(group) if own else harmless("".join(group))
        for own, group in groupby(texts, lambda text: isinstance(text, Verbatim))
    )
