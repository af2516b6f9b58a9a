"""What the server refuses, in the words and with the status that OpenAI's clients understand.

Refusal (status 400)
├── UnknownModel    404
├── TooLarge        413
└── Overloaded      429, with Retry-After
"""

from __future__ import annotations

from collections.abc import Iterable

from sightline.storage.errors import SightlineError, choices, shown


class Refusal(SightlineError):  # noqa: N818 - reads as what it is where it is raised
    """A request that is not served. ``param`` names the part of it that is wrong."""

    status = 400
    kind = "invalid_request_error"
    code: str | None = None

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.code

    def body(self) -> dict[str, object]:
        """The error as OpenAI writes it."""
        return {
            "error": {
                "message": str(self),
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }


class UnknownModel(Refusal):
    """The request names a model that is not served here."""

    status = 404
    code = "model_not_found"

    def __init__(self, name: object, served: Iterable[str]) -> None:
        super().__init__(
            f"The model {shown(name)} does not exist; there are: {choices(served)}", "model"
        )


class TooLarge(Refusal):
    """The body is larger than the server reads."""

    status = 413
    code = "body_too_large"


class Overloaded(Refusal):
    """As many requests wait as may wait."""

    status = 429
    kind = "rate_limit_error"
    code = "queue_full"
    retry_after_s = 1
