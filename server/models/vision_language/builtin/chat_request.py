"""Validates chat completion requests, and decodes their messages and images."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Final, Literal

from PIL import Image
from pydantic import BaseModel, BeforeValidator, Field, JsonValue, ValidationError

from sightline.storage.errors import SightlineError, shown
from sightline.storage.text.special_tokens import escape_tokens

_MAX_MESSAGES: Final = 64
_MAX_TEXT_CHARS: Final = 100_000
_MAX_STOP_STRINGS: Final = 8
_MAX_TOP_LOGPROBS: Final = 20
_MAX_IMAGE_BYTES: Final = 16 * 2**20
_DATA_URL: Final = re.compile(r"data:[\w.+/-]*(?:;[\w=.+-]+)*;base64,", re.ASCII)
_IMAGE_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_MESSAGES: Final = "messages"


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits. ``max_waiting_requests`` excludes the request that is being served."""

    max_body_bytes: int = 32 * 2**20
    max_images: int = 8
    max_image_pixels: int = 24_000_000
    max_waiting_requests: int = 32


class RequestError(SightlineError):
    """A rejected request. ``param`` names its invalid part."""

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        kind = "rate_limit_error" if status == 429 else "invalid_request_error"
        #: The error in OpenAI's format.
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class TextContentPart(BaseModel):
    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    url: str


class ImageContentPart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart = Annotated[TextContentPart | ImageContentPart, Field(discriminator="type")]


def _text_to_parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _stop_to_list(stop: object) -> object:
    if stop is None:
        return []
    return [stop] if isinstance(stop, str) else stop


class ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[ContentPart], BeforeValidator(_text_to_parts)]


class JsonSchema(BaseModel):
    schema_: dict[str, JsonValue] = Field(alias="schema")


class ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(BaseModel):
    """The format of the answer in vLLM's own fields."""

    choice: list[str] | None = None
    regex: str | None = None
    json_: dict[str, JsonValue] | None = Field(None, alias="json")


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``. Ignores unknown fields, as vLLM does."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1, max_length=_MAX_MESSAGES)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.0, ge=0.0, le=2.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    seed: int | None = Field(None, ge=0, lt=2**63)
    n: Literal[1] = 1
    stop: Annotated[list[str], BeforeValidator(_stop_to_list)] = []
    stream: Literal[False] = False
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=_MAX_TOP_LOGPROBS)
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages with image placeholders for the chat template, and the images."""

    messages: list[dict[str, object]] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)


def parse_request(body: bytes) -> ChatRequest:
    """Validate a request. Raises RequestError for the first problem."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(map(str, first["loc"]))
        raise RequestError(f"{param or 'body'}: {first['msg']}", param or None) from error
    if request.top_logprobs and not request.logprobs:
        raise RequestError("top_logprobs needs logprobs to be true", "top_logprobs")
    if len(request.stop) > _MAX_STOP_STRINGS or not all(request.stop):
        raise RequestError(f"stop takes up to {_MAX_STOP_STRINGS} strings, none empty", "stop")
    return request


def parse_conversation(
    request: ChatRequest, special_tokens: Sequence[str], limits: RequestLimits
) -> Conversation:
    """Return messages and images; escape ``special_tokens`` in texts.

    Otherwise ``<image>`` in a text would stand for a missing image, and ``<|system|>`` would start
    a system message. The template joins adjacent texts, so they are joined before they are escaped.
    """
    conversation = Conversation()
    chars = 0
    for message in request.messages:
        parts: list[dict[str, str]] = []
        for part in message.content:
            if isinstance(part, TextContentPart):
                chars += len(part.text)
                parts.append({"type": "text", "text": part.text})
                continue
            if len(conversation.images) == limits.max_images:
                raise RequestError(
                    f"At most {limits.max_images} image(s) may be provided in one prompt.",
                    _MESSAGES,
                    "too_many_images",
                )
            conversation.images.append(_decode_image(part.image_url.url, limits.max_image_pixels))
            parts.append({"type": "image"})
        role = "system" if message.role == "developer" else message.role
        content = _join_and_escape(parts, special_tokens)
        conversation.messages.append({"role": role, "content": content})
    if chars > _MAX_TEXT_CHARS:
        raise RequestError(f"the text has {chars:,} characters; the maximum is {_MAX_TEXT_CHARS:,}")
    return conversation


def _join_and_escape(
    parts: Sequence[dict[str, str]], special_tokens: Sequence[str]
) -> list[dict[str, str]]:
    joined: list[dict[str, str]] = []
    for kind, run in groupby(parts, lambda part: part["type"]):
        if kind == "text":
            text = escape_tokens("".join(part["text"] for part in run), special_tokens)
            joined.append({"type": "text", "text": text})
        else:
            joined += run
    return joined


def _decode_image(url: str, max_pixels: int) -> Image.Image:
    """Return the RGB image of a data URL. Other URLs are rejected, never fetched."""
    head = _DATA_URL.match(url)
    if head is None:
        raise RequestError(
            f"image_url must be a data URL with base64 content, not {shown(url[:60])}; this server "
            "does not fetch URLs",
            _MESSAGES,
            "invalid_image_url",
        )
    if len(url) - head.end() > _MAX_IMAGE_BYTES * 4 // 3 + 4:
        message = f"an image may have {_MAX_IMAGE_BYTES:,} bytes"
        raise RequestError(message, _MESSAGES, "image_too_large")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except ValueError as error:
        message = f"the image is not valid base64: {error}"
        raise RequestError(message, _MESSAGES, "invalid_base64") from error
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                message = f"the image has {width} x {height} pixels; the maximum is {max_pixels:,}"
                raise RequestError(message, _MESSAGES, "image_too_large")
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow raises all of these for broken files.
        message = f"the image cannot be decoded as {', '.join(_IMAGE_FORMATS)}: {error}"
        raise RequestError(message, _MESSAGES, "invalid_image") from error
