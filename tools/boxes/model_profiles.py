"""What a family of vision-language models wants of a prompt and writes in an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sightline.storage.errors import UnknownNameError
from sightline.tools.boxes.conventions import Convention
from sightline.tools.boxes.geometry import Placement, Size
from sightline.tools.boxes.letterbox import Fit, place

#: ``json``: a general model that answers in the form it is asked for. ``cited``: the built-in
#: model's own form, ``TEXT [n] [x0,y0,x1,y1]``, and no other.
AnswerForm = Literal["json", "cited"]

_ARTICLES = ("the ", "a ", "an ", "all ")


class Verbatim(str):
    """Prompt text of our own, which may hold special tokens; all other text loses them."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """How to speak with one family of models.

    name             by which it can be chosen
    models           pattern of the model names that it fits, in lower case
    fit              how pictures are sized for it
    pictures         how many it understands in one prompt
    boxes            its convention, ``None`` where it was taught none
    locate           prompt that asks where a ``{phrase}`` is
    locate_chinese   the same for a Chinese phrase; empty where ``locate`` does for both
    definite         whether an English phrase needs its article: "Where is the white van?"
    several          whether ``locate`` takes several phrases at once, joined by ``joiner``
    structured       whether to ask the server to hold the answer to a JSON schema
    special_tokens   whether its boxes are written in tokens that servers strip unless told
    lossless         whether pictures are sent as PNG; else as JPEG
    answers          the form in which it can be asked for an answer with evidence
    found            how many pictures, and passages, that a search found it is shown at once
    """

    name: str
    models: str
    fit: Fit
    pictures: int
    boxes: Convention | None
    locate: str = "Where is {phrase}?"
    locate_chinese: str = ""
    definite: bool = False
    several: bool = False
    joiner: str = ", "
    structured: bool = True
    special_tokens: bool = False
    lossless: bool = False
    answers: AnswerForm = "json"
    found: tuple[int, int] = (4, 4)

    def place(self, size: Size) -> Placement:
        """Where an upright original of ``size`` lies in the picture that this family is sent."""
        return place(self.fit, size)

    def locating(self, phrases: Sequence[str]) -> tuple[Verbatim | str, ...]:
        """Prompt text that asks where the phrases are.

        Raises ValueError for several phrases where the family takes one at a time, or no boxes.
        """
        if self.boxes is None:
            raise ValueError(f"the profile {self.name!r} has no boxes")
        if len(phrases) != 1 and not self.several:
            raise ValueError(f"the profile {self.name!r} is asked for one phrase at a time")
        text = self.joiner.join(phrases)
        chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
        prompt = self.locate_chinese if chinese and self.locate_chinese else self.locate
        if self.definite and not chinese and not text.lower().startswith(_ARTICLES):
            text = f"the {text}"
        before, after = prompt.split("{phrase}")
        return Verbatim(before), text, Verbatim(after)

    @property
    def note(self) -> str | None:
        """What a caller should be told of this profile's limits."""
        if self.boxes is None:
            return (
                f"the model's profile is {self.name!r}, which has no boxes: answers carry none. "
                "Set SIGHTLINE_VLM_PROFILE to the family of the model if it has been taught boxes."
            )
        if self.boxes.points:
            return f"the model's profile is {self.name!r}, which points and draws no boxes."
        return None


def choose(model: str, profile: str = "auto") -> Profile:
    """The profile called ``profile``; for ``auto`` the first one whose pattern fits ``model``.

    A model that no pattern fits gets ``plain``, which has no boxes and says so in its ``note``.
    Raises UnknownNameError that lists the profiles.
    """
    from sightline.tools.boxes.model_families import FAMILIES, PLAIN

    if profile != "auto":
        for family in FAMILIES:
            if family.name == profile:
                return family
        raise UnknownNameError(
            "model profile", profile, ["auto", *(family.name for family in FAMILIES)]
        )
    lowered = model.lower()
    for family in FAMILIES:
        if family.models and re.search(family.models, lowered):
            return family
    return PLAIN
