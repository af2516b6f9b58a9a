"""Builds OpenAI chat completion requests, with images as data URLs."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from PIL import Image
from pydantic import JsonValue

from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.isolation.caller import current_caller
from sightline.storage.text.special_tokens import escape_special_tokens
from sightline.tools.boxes import letterbox
from sightline.tools.boxes.geometry import Placement
from sightline.tools.boxes.model_profiles import Profile, TrustedText
from sightline.tools.shared import images
from sightline.tools.vlm.vision_language_model import Part, Request

#: Encoded images come from the tools, which check their size.
_MAX_PIXELS = 200_000_000
_JPEG_QUALITY = 92
#: vLLM and OpenAI allow 20. Two choices and their spelling variants need no more than 8.
_TOP_LOGPROBS = 8
_SALT_KEY = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class SentImage:
    """An image as sent to the model, and the position of the original in it."""

    url: str
    placement: Placement


def prepare_request(
    request: Request, endpoint: VlmEndpoint
) -> tuple[Sequence[str | SentImage], dict[str, JsonValue], bytes | None]:
    """Return the prepared parts, the body and the cache key of a greedy request.

    Uses CPU time: run it in a thread. Raises MediaError for bytes that are not an image.
    """
    parts = prepare_parts(request.parts, endpoint.profile)
    body = build_chat_request(request, parts, endpoint)
    if request.temperature != 0.0 or endpoint.max_cached_responses == 0:
        return parts, body, None
    text = json.dumps([endpoint.api_url, body], sort_keys=True, separators=(",", ":"))
    return parts, body, hashlib.sha256(text.encode()).digest()


def prepare_parts(parts: Sequence[Part], profile: Profile) -> list[str | SentImage]:
    """Return the parts with encoded images. Uses CPU time: run it in a thread.

    Raises MediaError for bytes that are not an image.
    """
    return [part if isinstance(part, str) else _encode_image(part, profile) for part in parts]


def build_chat_request(
    request: Request, parts: Sequence[str | SentImage], endpoint: VlmEndpoint
) -> dict[str, JsonValue]:
    """Return the body of ``POST /chat/completions`` for the prepared ``parts``."""
    messages: list[JsonValue] = []
    if request.system:
        messages.append({"role": "system", "content": request.system})
    messages.append({"role": "user", "content": build_content(parts)})
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
        body["top_logprobs"] = _TOP_LOGPROBS
    if request.choices:
        body["structured_outputs"] = {"choice": list(request.choices)}
    elif request.schema is not None and endpoint.profile.supports_schema:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": dict(request.schema)},
        }
    if endpoint.profile.special_tokens:
        body["skip_special_tokens"] = False
    if (caller := current_caller()) is not None:
        # vLLM reuses the prefixes of earlier requests; the time would tell what others asked.
        digest = hashlib.blake2b(caller.encode(), key=_SALT_KEY, digest_size=32)
        body["cache_salt"] = digest.hexdigest()
    return body


def build_content(parts: Sequence[str | SentImage]) -> list[JsonValue]:
    """Return the content of a user message; adjacent texts become one part.

    Some chat templates put a line break between text parts, others do not. Texts are joined before
    they are escaped, so that two halves cannot form a special token.
    """
    content: list[JsonValue] = []
    for _, run in groupby(parts, lambda part: isinstance(part, str)):
        texts: list[str] = []
        for part in run:
            if isinstance(part, str):
                texts.append(part)
            else:
                content.append({"type": "image_url", "image_url": {"url": part.url}})
        if texts:
            content.append({"type": "text", "text": _join_texts(texts)})
    return content


def _join_texts(texts: Sequence[str]) -> str:
    return "".join(
        "".join(group) if trusted else escape_special_tokens("".join(group))
        for trusted, group in groupby(texts, lambda text: isinstance(text, TrustedText))
    )


def _encode_image(part: Image.Image | images.EncodedImage, profile: Profile) -> SentImage:
    image = (
        images.decode_upright(part.data, max_pixels=_MAX_PIXELS)
        if isinstance(part, images.EncodedImage)
        else letterbox.upright(part)
    )
    resized = letterbox.render(profile.fit, image)
    buffer = io.BytesIO()
    image_type = "png" if profile.lossless else "jpeg"
    # Only JPEG has these options. Chroma subsampling would blur small colored text.
    resized.save(buffer, image_type, quality=_JPEG_QUALITY, subsampling=0)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return SentImage(f"data:image/{image_type};base64,{encoded}", profile.place(image.size))
