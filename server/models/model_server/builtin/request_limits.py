"""Limits of one request, and the errors of rejected requests in OpenAI's format.

RequestError (status 400)
├── ModelNotFoundError  404
├── BodyTooLargeError   413
└── QueueFullError      429, with Retry-After
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sightline.storage.errors import SightlineError, choices, shown


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The limits. ``max_waiting_requests`` excludes the request that is being served."""

    max_body_bytes: int = 32 * 2**20
    max_images: int = 8
    max_image_pixels: int = 24_000_000
    max_image_bytes: int = 16 * 2**20
    max_messages: int = 64
    max_text_chars: int = 100_000
    max_waiting_requests: int = 32
    default_max_tokens: int = 256
    max_schema_chars: int = 20_000
    max_stop_strings: int = 8
    max_top_logprobs: int = 20


class RequestError(SightlineError):
    """A rejected request. ``param`` names its invalid part."""

    status = 400
    kind = "invalid_request_error"
    code: str | None = None

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.code

    def body(self) -> dict[str, object]:
        """Return the error in OpenAI's format."""
        return {
            "error": {
                "message": str(self),
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


class ModelNotFoundError(RequestError):
    """The requested model is not served."""

    status = 404
    code = "model_not_found"

    def __init__(self, name: object, served: Iterable[str]) -> None:
        super().__init__(
            f"The model {shown(name)} does not exist. Available: {choices(served)}.", "model"
        )


class BodyTooLargeError(RequestError):
    """The request body is too large."""

    status = 413
    code = "body_too_large"


class QueueFullError(RequestError):
    """Too many requests wait."""

    status = 429
    kind = "rate_limit_error"
    code = "queue_full"
    retry_after_seconds = 1
