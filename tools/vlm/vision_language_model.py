"""What the tools ask of a vision-language model, and the ways in which it fails.

ModelError (sightline.storage.errors)
├── ModelUnavailableError    not reached, or failing again and again; worth trying again later
├── ModelOverloadedError     it has no room; worth trying again in a moment
├── ModelTimeoutError        the deadline passed; says in which stage
├── ModelReplyError          it answered, and the answer cannot be used
└── ModelRefusedError        it refused the request: trying again changes nothing
    └── UnknownModelError    the model that was asked for is not there; names those that are
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
from sightline.tools.boxes.model_profiles import Profile, Verbatim
from sightline.tools.shared.images import EncodedPicture

#: A part of a prompt, in the order in which the model reads it. ``str`` comes from anywhere and
#: loses the special tokens in it; `Verbatim` is our own and keeps them. Pictures of any size.
Part = str | Verbatim | Image.Image | EncodedPicture

#: ``length``: cut off at the most tokens allowed. ``other``: a filter, a tool call, or unknown.
Finish = Literal["stop", "length", "other"]


class ModelTimeoutError(ModelError):
    """The deadline passed before there was an answer."""


class ModelReplyError(ModelError):
    """The model's server answered something that cannot be used."""


class ModelRefusedError(ModelError):
    """The model's server refused the request."""


class UnknownModelError(ModelRefusedError):
    """The endpoint has no model of that name."""

    def __init__(self, model: str, endpoint: str, known: Sequence[str]) -> None:
        super().__init__(f"no model {shown(model)} at {endpoint}; there are: {choices(known)}")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model.

    ``system`` is ours and sent as it is. ``schema`` is a JSON schema for the answer, held to where
    the server can; ``choices`` are the only answers wanted. ``deadline_seconds`` bounds everything,
    waiting and retries too; the client's own limit holds as well. ``probabilities`` asks for the
    log-probabilities of the answer's tokens. With ``temperature`` 0 the answer is greedy, and the
    same request may be answered from memory.
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
    """A token of an answer, its natural log-probability, and those that it was chosen from."""

    text: str
    log_probability: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were read and written, as the server counts them."""

    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answered.

    ``data`` is the JSON value in ``text`` where a schema was asked for: as it stands, or, with
    ``data_repaired``, what a tolerant reader could make of it; ``None`` where there is none.
    It has not been checked against the schema: not every server holds an answer to one.
    ``choice`` is the one of the request's choices that ``text`` names, ``None`` for none of them.
    ``tokens`` is ``None`` where log-probabilities were not asked for or are not offered.
    ``placements`` says, for each picture in order, where it lay in what the model saw.
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
    """Answers questions about pictures and text."""

    @property
    def model(self) -> str:
        """The model's name, recorded with what it said."""
        ...

    @property
    def profile(self) -> Profile:
        """What its family wants of a prompt, and how it writes boxes."""
        ...

    async def ask(self, request: Request) -> Reply:
        """One answer.

        Raises InvalidArgumentError for more pictures than the profile takes, MediaError for a
        picture that cannot be read, and the ModelErrors of this module. Cancelling the call
        gives up the request at the server.
        """
        ...


def choice_probabilities(reply: Reply, options: Sequence[str]) -> dict[str, float] | None:
    """How the model's certainty is shared among ``options``, from the first token of its answer.

    The shares sum to 1. An option that is not among the token's alternatives counts as likely as
    the last of them, which is the most that it can be. ``None`` where the reply has no
    log-probabilities, or none that begins exactly one of the options.
    """
    first = next((token for token in reply.tokens or () if token.text.strip()), None)
    if first is None:
        return None
    seen = dict(first.alternatives) | {first.text: first.log_probability}
    shares: dict[str, float] = {}
    for text, log_probability in seen.items():
        start = text.strip().casefold()
        begun = [option for option in options if start and option.casefold().startswith(start)]
        if len(begun) == 1:
            likely = math.exp(min(log_probability, 0.0))
            shares[begun[0]] = shares.get(begun[0], 0.0) + likely
    least = math.exp(min(0.0, *seen.values())) if first.alternatives else 0.0
    total = sum(shares.get(option, least) for option in options)
    if not shares or total <= 0:
        return None
    return {option: shares.get(option, least) / total for option in options}
