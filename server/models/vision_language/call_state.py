"""One call to the model: its bounds, what it cost, and what comes back of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sightline.server.models.vision_language.image_encoding import SentPicture
from sightline.server.models.vision_language.response_parser import (
    Completion,
    read_choice,
    read_data,
)
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.storage.errors import InvalidArgumentError
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.vlm.vision_language_model import ModelTimeoutError, Reply, Request

#: How a call ended, for counting; ``remembered`` is an answer from memory.
Outcome = Literal["answered", "remembered", "failed", "timed out", "cancelled"]


@dataclass(frozen=True, slots=True)
class Observation:
    """One call, as metrics see it. ``requests`` counts the HTTP requests that it took."""

    outcome: Outcome
    seconds: float
    requests: int
    prompt_tokens: int = 0
    answer_tokens: int = 0


class Call:
    """One call's bounds, and what it has cost so far."""

    def __init__(self, request: Request, endpoint: Endpoint) -> None:
        self.request = request
        self.endpoint = endpoint
        self.requests = 0
        asked = request.deadline_seconds
        longest = endpoint.timeout_seconds
        self.allowed = longest if asked is None else min(asked, longest)
        self._began = now()
        self.until = self._began + self.allowed

    @property
    def seconds(self) -> float:
        """Time since it began."""
        return now() - self._began

    def late(self, stage: str) -> ModelTimeoutError:
        """The error for a deadline that passed at ``stage``."""
        return ModelTimeoutError(
            f"the question to {self.endpoint.model} had {self.allowed:.1f} s, which were over "
            f"{stage}"
        )


def reply_of(answer: Completion, call: Call, parts: Sequence[str | SentPicture]) -> Reply:
    """The answer as tools see it; ``parts`` are the request's, pictures made ready."""
    request = call.request
    data, repaired = read_data(answer.text) if request.schema is not None else (None, False)
    return Reply(
        text=answer.text,
        finish=answer.finish,
        model=call.endpoint.model,
        seconds=call.seconds,
        placements=tuple(part.placement for part in parts if isinstance(part, SentPicture)),
        data=data,
        data_repaired=repaired,
        choice=read_choice(answer.text, request.choices) if request.choices else None,
        tokens=answer.tokens,
        usage=answer.usage,
    )


def check_pictures(request: Request, profile: Profile) -> None:
    """Raises InvalidArgumentError for more pictures than the family takes."""
    count = sum(not isinstance(part, str) for part in request.parts)
    if count > profile.pictures:
        raise InvalidArgumentError(
            f"{count} pictures are too many for one question: the model's profile, "
            f"{profile.name!r}, takes {profile.pictures}"
        )


def now() -> float:
    """The event loop's clock, in seconds."""
    return asyncio.get_running_loop().time()
