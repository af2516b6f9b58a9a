"""Scene builder: collects a drawing and its ground truth.

A family draws on ``builder.canvas`` and records objects, texts, captions and questions, all in
canvas coordinates. ``render`` applies the camera to the pixels and to all boxes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

from sightline.training.world.core.camera import Camera, Point, add_camera_effects
from sightline.training.world.core.canvas import RGB, SCALE, Canvas
from sightline.training.world.core.scene import (
    NOT_SHOWN,
    Box,
    Language,
    Question,
    QuestionKind,
    Scene,
    SceneObject,
    SceneText,
    Split,
)

Area = Box | Sequence[Point]
QuestionAnswer = tuple[str, str]


class SceneBuilder:
    """Collects the drawing and the ground truth of one image.

    An area is a box or the points of an outline. Use an outline for an object that does not fill
    its box; its box then stays tight when the camera rotates.
    """

    def __init__(
        self,
        family: str,
        rng: random.Random,
        seed: int,
        split: Split,
        size: tuple[int, int],
        ground: RGB = (255, 255, 255),
    ) -> None:
        self.family, self.rng, self.seed, self.split = family, rng, seed, split
        self.canvas = Canvas(size, ground)
        self._captions: dict[Language, list[str]] = {"en": [], "zh": []}
        self._objects: list[tuple[str, dict[str, str], Area]] = []
        self._texts: list[tuple[str, Area]] = []
        self._questions: list[tuple[QuestionKind, Language, str, str, Area | None]] = []

    def add_object(self, label: str, area: Area, **attributes: str) -> None:
        """Record a drawn object."""
        self._objects.append((label, attributes, area))

    def add_text(self, text: str, area: Area) -> None:
        """Record drawn text with its ink box."""
        self._texts.append((text, area))

    def add_caption(self, en: str, zh: str) -> None:
        """Add a caption in each language, the most exact one first."""
        self._captions["en"].append(en)
        self._captions["zh"].append(zh)

    def add_question(
        self, kind: QuestionKind, en: QuestionAnswer, zh: QuestionAnswer, area: Area | None = None
    ) -> None:
        """Add a (question, answer) pair per language and its visible area."""
        self._questions.append((kind, "en", *en, area))
        self._questions.append((kind, "zh", *zh, area))

    def add_location_question(self, en: str, zh: str, area: Area) -> None:
        """Add a location question; the phrase must be unique in the image."""
        self.add_question("location", (f"Where is {en}?", en), (f"{zh}在哪里？", zh), area)

    def add_unanswerable_question(self, en: str, zh: str) -> None:
        """Add a question that the image does not answer."""
        self.add_question("unanswerable", (en, NOT_SHOWN["en"]), (zh, NOT_SHOWN["zh"]))

    def render(
        self,
        combination: str,
        unseen: bool,
        *,
        camera: Camera | None = None,
        light: float = 0.25,
        noise: float = 8,
        blur: float = 0.0,
        captured_at: datetime | None = None,
        metadata: dict[str, str | int | float] | None = None,
    ) -> Scene:
        """Render the image and add ``jpeg_quality`` to its metadata."""
        camera = camera or Camera.straight(self.canvas.size)
        quality = self.rng.randint(60, 95)
        image = camera.warp(self.canvas.image, SCALE)
        image = add_camera_effects(image, self.rng, light=light, noise=noise, blur=blur)

        def seen(area: Area) -> Box:
            return camera.project_box(outline_points(area))

        return Scene(
            image=image,
            family=self.family,
            seed=self.seed,
            split=self.split,
            combination=combination,
            unseen=unseen,
            captions=self._captions,
            objects=[SceneObject(label, attrs, seen(area)) for label, attrs, area in self._objects],
            texts=[SceneText(text, seen(area)) for text, area in self._texts],
            questions=[
                Question(kind, language, question, answer, seen(area) if area else None)
                for kind, language, question, answer, area in self._questions
            ],
            captured_at=captured_at,
            metadata={"jpeg_quality": quality, **(metadata or {})},
        )


def outline_points(area: Area) -> list[Point]:
    """Return the outline points of an area."""
    if isinstance(area, tuple) and len(area) == 4 and isinstance(area[0], int | float):
        x0, y0, x1, y1 = area
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return list(area)


def ellipse_outline(box: Box) -> list[Point]:
    """Return eight points of the ellipse in a box."""
    x0, y0, x1, y1 = box
    cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    unit = ((1, 0), (0.707, 0.707), (0, 1), (-0.707, 0.707))
    return [(cx + s * rx * x, cy + s * ry * y) for s in (1, -1) for x, y in unit]
