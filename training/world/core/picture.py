"""What one drawn picture consists of: the pixels and everything that is true of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from PIL import Image

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
Split = Literal["train", "validation", "test"]
QuestionKind = Literal[
    "attribute",
    "count",
    "existence",
    "relation",
    "reading",
    "comparison",
    "location",
    "unanswerable",
]

#: Corners (x0, y0, x1, y1) in pixels of the finished picture, origin top left, x1 and y1 exclusive.
Box = tuple[float, float, float, float]

#: The answer to every ``unanswerable`` question, by language.
NOT_SHOWN: dict[Language, str] = {"en": "not shown", "zh": "图中没有"}


@dataclass(frozen=True, slots=True)
class Thing:
    """An object in the picture: ``Thing("car", {"colour": "red"}, (10, 20, 60, 50))``."""

    label: str
    attributes: dict[str, str]
    box: Box


@dataclass(frozen=True, slots=True)
class Reading:
    """Text that is drawn in the picture, with the box of its ink."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one picture with its one right answer.

    ``box`` is where the answer can be seen; it is the answer itself for kind ``location`` (whose
    ``answer`` is the phrase that was asked for) and ``None`` where the picture does not say.
    """

    kind: QuestionKind
    language: Language
    question: str
    answer: str
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn picture with its ground truth.

    ``combination`` names the attributes that were combined ("car/red", "lamp/left of/sofa"); every
    combination belongs to one split, or, where ``unseen`` is true, to the test split alone.
    ``captions`` holds several wordings a language, most exact first: the first one tells this
    picture from the others of its family.
    """

    image: Image.Image
    family: str
    seed: int
    split: Split
    combination: str
    unseen: bool
    captions: dict[Language, list[str]]
    things: list[Thing]
    readings: list[Reading]
    questions: list[Question]
    captured_at: datetime | None = None
    metadata: dict[str, str | int | float] = field(default_factory=dict)
