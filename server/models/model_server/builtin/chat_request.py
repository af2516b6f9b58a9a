"""Chat completion requests: what they may say, and the conversation in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sightline.server.models.model_server.builtin.data_urls import picture_of
from sightline.server.models.model_server.builtin.openai_errors import Refusal
from sightline.server.models.model_server.builtin.request_limits import Limits
from sightline.storage.errors import shown


class _Part(BaseModel):
    """Clients send fields that we have no use for; they are left alone, as vLLM does."""

    model_config = ConfigDict(extra="ignore")


class TextPart(_Part):
    """Words of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(_Part):
    """Where a picture is: a data URL."""

    url: str


class ImagePart(_Part):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class ChatMessage(_Part):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]


class JsonSchema(_Part):
    """The schema that an answer must satisfy."""

    name: str = "answer"
    schema_: dict[str, JsonValue] = Field(alias="schema")


class ResponseFormat(_Part):
    """What the answer must look like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(_Part):
    """vLLM's own way to say what the answer must look like."""

    choice: list[str] | None = None
    regex: str | None = None
    json_: dict[str, JsonValue] | None = Field(None, alias="json")


class StreamOptions(_Part):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(_Part):
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
    def most_tokens(self) -> int | None:
        """How long the answer may be, if the caller says so."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Strings that end the answer."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the chat template is given: turns of text and image parts, and the pictures in order."""

    turns: list[dict[str, object]] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)


def parse_request(body: bytes, limits: Limits) -> ChatRequest:
    """Read a request, and refuse what is wrong with it in one sentence."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Refusal(f"{place or 'body'}: {first['msg']}", place or None) from error
    if len(request.messages) > limits.messages:
        raise Refusal(f"at most {limits.messages} messages are read", "messages")
    if request.top_logprobs > limits.top_logprobs:
        raise Refusal(f"top_logprobs is at most {limits.top_logprobs}", "top_logprobs")
    if request.top_logprobs and not request.logprobs:
        raise Refusal("top_logprobs needs logprobs to be true", "top_logprobs")
    if len(request.stops) > limits.stop_strings or not all(request.stops):
        raise Refusal(f"stop takes up to {limits.stop_strings} strings, none empty", "stop")
    return request


def conversation_of(request: ChatRequest, markup: list[str], limits: Limits) -> Conversation:
    """The turns and pictures of a request; ``markup`` (special tokens) in its text is broken up.

    Without that, ``<image>`` in a caller's text would stand for a picture that is not there, and
    ``<|system|>`` would speak as somebody else.
    """
    conversation = Conversation()
    chars = 0
    for message in request.messages:
        parts: list[dict[str, str]] = []
        content = message.content
        given = [TextPart(type="text", text=content)] if isinstance(content, str) else content
        for part in given:
            if isinstance(part, TextPart):
                chars += len(part.text)
                parts.append({"type": "text", "text": harmless(part.text, markup)})
                continue
            if len(conversation.pictures) == limits.images_per_prompt:
                raise Refusal(
                    f"At most {limits.images_per_prompt} image(s) may be provided in one prompt.",
                    "messages",
                    "too_many_images",
                )
            conversation.pictures.append(picture_of(part.image_url.url, limits))
            parts.append({"type": "image"})
        role = "system" if message.role == "developer" else message.role
        conversation.turns.append({"role": role, "content": parts})
    if chars > limits.text_chars:
        raise Refusal(f"the text has {shown(chars)} characters; {limits.text_chars:,} are read")
    return conversation


def harmless(text: str, markup: list[str]) -> str:
    """``text`` with a blank inside everything that would be read as markup."""
    for token in markup:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
