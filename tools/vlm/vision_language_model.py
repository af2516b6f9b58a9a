"""The protocol of a vision-language model, its requests, replies and errors.

ModelError (sightline.storage.errors)
├── ModelUnavailableError    not reachable, or fails repeatedly; retry later
├── ModelOverloadedError     at capacity; retry soon
├── ModelTimeoutError        the deadline passed; names the stage
├── ModelReplyError          the reply cannot be used
└── ModelRefusedError        the request was refused; do not retry
    ├── RequestTooLargeError it has more images or tokens than the model takes
    └── UnknownModelError    the endpoint has no such model

Messages are for callers. ``details`` are for the operator: the address and text of the server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image
from pydantic import JsonValue

from sightline.storage.errors import ModelError, choices, shown
from sightline.tools.boxes.geometry import Placement
from sightline.tools.boxes.model_profiles import Profile, TrustedText
from sightline.tools.shared.images import EncodedImage

#: A part of a prompt. Special tokens are removed from ``str`` and kept in `TrustedText`. Images
#: may have any size.
Part = str | TrustedText | Image.Image | EncodedImage

#: ``length``: cut off at ``max_tokens``. ``other``: a filter, a tool call, or unknown.
Finish = Literal["stop", "length", "other"]


#: What may stand before or after a choice in its token.
_MARKS = " \t\r\n*_`\"'.,:"


class ModelTimeoutError(ModelError):
    """The deadline passed before the reply."""


class ModelReplyError(ModelError):
    """The reply cannot be used."""


class ModelRefusedError(ModelError):
    """The server refused the request."""


class RequestTooLargeError(ModelRefusedError):
    """The request has more images or tokens than the model takes.

    ``max_images`` is the number of images that the server allows, None if it named none.
    """

    def __init__(self, message: str, *, details: str, max_images: int | None = None) -> None:
        super().__init__(message, details=details)
        self.max_images = max_images


class UnknownModelError(ModelRefusedError):
    """The endpoint has no model of this name; the details name the available ones."""

    def __init__(self, model: str, endpoint: str, known: Sequence[str]) -> None:
        super().__init__(
            f"The model server has no model {shown(model)}.",
            details=f"{endpoint}; available: {choices(known)}",
        )


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the model.

    ``system`` is trusted. ``schema`` is a JSON schema that the server enforces if it can;
    ``choices`` are the only allowed answers. ``deadline_seconds`` includes waiting and retries; the
    client's own limit applies too. ``probabilities`` requests log-probabilities. With
    ``temperature`` 0 the reply is greedy and may come from a cache.
    """

    parts: tuple[Part, ...]
    system: str = ""
    schema: Mapping[str, JsonValue] | None = None
    choices: tuple[str, ...] = ()
    max_tokens: int | None = None
    deadline_seconds: float | None = None
    probabilities: bool = False
    temperature: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a reply, its natural log-probability, and the alternatives."""

    text: str
    log_probability: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Numbers of tokens, as the server counts them."""

    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of the model, without the draft of a thinking model.

    ``data`` is the JSON value in ``text`` if a schema was requested, not validated against it;
    ``data_repaired`` means that it was malformed. ``choice`` is the requested choice that ``text``
    names. ``tokens`` are those of the answer, from its choice on; None without log-probabilities.
    ``placements`` gives, for each image in order, its place in the image that was sent.
    """

    text: str
    finish: Finish
    model: str
    seconds: float
    placements: tuple[Placement, ...] = ()
    data: JsonValue = None
    data_repaired: bool = False
    choice: str | None = None
    tokens: tuple[Token, ...] | None = None
    usage: Usage | None = None
    cached: bool = False


class VisionLanguageModel(Protocol):
    """Answers questions about images and text."""

    @property
    def model(self) -> str: ...

    @property
    def profile(self) -> Profile: ...

    async def ask(self, request: Request) -> Reply:
        """Return the reply to a request.

        Raises InvalidArgumentError for too many images, MediaError for an unreadable image, and the
        ModelErrors of this module. Cancelling the call cancels the request at the server.
        """


def choice_probabilities(reply: Reply, options: Sequence[str]) -> dict[str, float] | None:
    """Return the probability of each option, by the first token of the reply.

    The probabilities sum to 1. An option that is not among the alternatives counts as the least
    likely of them, its upper bound. None without log-probabilities, or if no token begins exactly
    one option.
    """
    first = next((token for token in reply.tokens or () if token.text.strip(_MARKS)), None)
    if first is None:
        return None
    alternatives = dict(first.alternatives) | {first.text: first.log_probability}
    probabilities: dict[str, float] = {}
    for text, log_probability in alternatives.items():
        start = text.strip(_MARKS).casefold()
        matches = [option for option in options if start and option.casefold().startswith(start)]
        if len(matches) == 1:
            probability = math.exp(min(log_probability, 0.0))
            probabilities[matches[0]] = probabilities.get(matches[0], 0.0) + probability
    lowest = math.exp(min(0.0, *alternatives.values())) if first.alternatives else 0.0
    total = sum(probabilities.get(option, lowest) for option in options)
    if not probabilities or total <= 0:
        return None
    return {option: probabilities.get(option, lowest) / total for option in options}
