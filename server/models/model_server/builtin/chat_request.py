"""Chat completion requests: validation, and conversion to messages and images."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sightline.server.models.model_server.builtin.request_limits import RequestError, RequestLimits
from sightline.storage.errors import shown
from sightline.storage.text.special_tokens import escape_tokens

_DATA_URL: Final = re.compile(r"data:[\w.+/-]*(?:;[\w=.+-]+)*;base64,", re.ASCII)
_IMAGE_FORMATS: Final = ("PNG", "JPEG", "WEBP")
_MESSAGES: Final = "messages"


class _OpenAiModel(BaseModel):
    """Ignores unknown fields, as vLLM does."""

    model_config = ConfigDict(extra="ignore")


class TextContentPart(_OpenAiModel):
    """Text in a message."""

    type: Literal["text"]
    text: str


class ImageUrl(_OpenAiModel):
    """The data URL of an image."""

    url: str


class ImageContentPart(_OpenAiModel):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


ContentPart = Annotated[TextContentPart | ImageContentPart, Field(discriminator="type")]


class ChatMessage(_OpenAiModel):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart]


class JsonSchema(_OpenAiModel):
    """The JSON schema of the answer."""

    name: str = "answer"
    schema_: dict[str, JsonValue] = Field(alias="schema")


class ResponseFormat(_OpenAiModel):
    """The format of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(_OpenAiModel):
    """The format of the answer in vLLM's own fields."""

    choice: list[str] | None = None
    regex: str | None = None
    json_: dict[str, JsonValue] | None = Field(None, alias="json")


class StreamOptions(_OpenAiModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(_OpenAiModel):
    """The body of ``POST /v1/chat/completions``."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.0, ge=0.0, le=2.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    seed: int | None = Field(None, ge=0, lt=2**63)
    n: Literal[1] = 1
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0)
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None

    @property
    def stop_strings(self) -> list[str]:
        """Return the strings that end the answer."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages with image placeholders for the chat template, and the images."""

    messages: list[dict[str, object]] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)


def parse_request(body: bytes, limits: RequestLimits) -> ChatRequest:
    """Validate a request. Raises RequestError for the first problem."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(map(str, first["loc"]))
        raise RequestError(f"{param or 'body'}: {first['msg']}", param or None) from error
    if len(request.messages) > limits.max_messages:
        raise RequestError(f"at most {limits.max_messages} messages are allowed", _MESSAGES)
    if request.top_logprobs > limits.max_top_logprobs:
        raise RequestError(f"top_logprobs is at most {limits.max_top_logprobs}", "top_logprobs")
    if request.top_logprobs and not request.logprobs:
        raise RequestError("top_logprobs needs logprobs to be true", "top_logprobs")
    if len(request.stop_strings) > limits.max_stop_strings or not all(request.stop_strings):
        raise RequestError(
            f"stop takes up to {limits.max_stop_strings} strings, none empty", "stop"
        )
    return request


def parse_conversation(
    request: ChatRequest, special_tokens: Sequence[str], limits: RequestLimits
) -> Conversation:
    """Return messages and images; escape ``special_tokens`` in texts.

    Otherwise ``<image>`` in a text would stand for a missing image, and ``<|system|>`` would start
    a system message.
    """
    conversation = Conversation()
    chars = 0
    for message in request.messages:
        parts: list[dict[str, str]] = []
        content = message.content
        given = (
            [TextContentPart(type="text", text=content)] if isinstance(content, str) else content
        )
        for part in given:
            if isinstance(part, TextContentPart):
                chars += len(part.text)
                parts.append({"type": "text", "text": escape_tokens(part.text, special_tokens)})
                continue
            if len(conversation.images) == limits.max_images:
                raise RequestError(
                    f"At most {limits.max_images} image(s) may be provided in one prompt.",
                    _MESSAGES,
                    "too_many_images",
                )
            conversation.images.append(decode_image(part.image_url.url, limits))
            parts.append({"type": "image"})
        role = "system" if message.role == "developer" else message.role
        conversation.messages.append({"role": role, "content": parts})
    if chars > limits.max_text_chars:
        raise RequestError(
            f"the text has {chars:,} characters; the maximum is {limits.max_text_chars:,}"
        )
    return conversation


def decode_image(url: str, limits: RequestLimits) -> Image.Image:
    """Return the RGB image of a data URL. Other URLs are rejected, never fetched."""
    head = _DATA_URL.match(url)
    if head is None:
        raise RequestError(
            f"image_url must be a data URL with base64 content, not {shown(url[:60])}; this server "
            "does not fetch URLs",
            _MESSAGES,
            "invalid_image_url",
        )
    if len(url) - head.end() > limits.max_image_bytes * 4 // 3 + 4:
        raise RequestError(
            f"an image may have {limits.max_image_bytes:,} bytes", _MESSAGES, "image_too_large"
        )
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(
            f"the image is not valid base64: {error}", _MESSAGES, "invalid_base64"
        ) from error
    try:
        with Image.open(io.BytesIO(data), formats=_IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > limits.max_image_pixels:
                raise RequestError(
                    f"the image has {width} x {height} pixels; the maximum is "
                    f"{limits.max_image_pixels:,}",
                    _MESSAGES,
                    "image_too_large",
                )
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow raises all of these for broken files.
        raise RequestError(
            f"the image cannot be decoded as {', '.join(_IMAGE_FORMATS)}: {error}",
            _MESSAGES,
            "invalid_image",
        ) from error
