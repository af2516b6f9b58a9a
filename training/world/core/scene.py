"""Data types of a drawn image: pixels and complete ground truth."""

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

#: Corners (x0, y0, x1, y1) in image pixels, origin top left, x1 and y1 exclusive.
Box = tuple[float, float, float, float]

#: Answer to every ``unanswerable`` question, by language.
NOT_SHOWN: dict[Language, str] = {"en": "not shown", "zh": "图中没有"}


@dataclass(frozen=True, slots=True)
class SceneObject:
    """An object in the image, e.g. ``("car", {"colour": "red"}, (10, 20, 60, 50))``."""

    label: str
    attributes: dict[str, str]
    box: Box


@dataclass(frozen=True, slots=True)
class SceneText:
    """Text in the image with the box of its ink."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one image with its only correct answer.

    ``box`` shows where the answer is visible; ``None`` if no single place shows it. For kind
    ``location``, ``box`` is the answer and ``answer`` is the phrase of the question.
    """

    kind: QuestionKind
    language: Language
    question: str
    answer: str
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """One drawn image with its ground truth.

    ``combination`` names the combined attributes ("car/red", "lamp/left of/sofa"). ``unseen`` is
    true for combinations that occur only in the test split. ``captions`` contains several captions
    per language; the first is the most exact and identifies the image within its family.
    """

    image: Image.Image
    family: str
    seed: int
    split: Split
    combination: str
    unseen: bool
    captions: dict[Language, list[str]]
    objects: list[SceneObject]
    texts: list[SceneText]
    questions: list[Question]
    captured_at: datetime | None = None
    metadata: dict[str, str | int | float] = field(default_factory=dict)
