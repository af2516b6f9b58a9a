"""Draw albums: letterboxed images of the synthetic world with ground truth."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from sightline.training.vlm.data.album import RECORDS, SQUARES, Item, QuestionAnswer, Record
from sightline.training.vlm.data.letterbox import EDGE, Box, letterbox, to_square
from sightline.training.vlm.data.prompt import existence_question
from sightline.training.world.core.scene import Scene, SceneObject, Split
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw

_MIN_CROP_PIXELS: Final = 24


def draw_album(
    folder: Path, split: Split, count: int, *, crops: float = 0.0, start: int = 0, edge: int = EDGE
) -> None:
    """Draw ``count`` images, alternating families, and crops of a share of them.

    ``crops`` is the share (0 to 1), ``start`` the number of the first image in the split. The
    folder is written atomically.
    """
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with (part / SQUARES).open("wb") as squares, (part / RECORDS).open("w") as records:
        for number in range(start, start + count):
            for image, record in _draw_squares(split, number, crops):
                squares.write(np.asarray(letterbox(image, edge)).tobytes())
                records.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
    part.replace(folder)


def _draw_squares(split: Split, number: int, crops: float) -> Iterator[tuple[Image.Image, Record]]:
    families = list(FAMILIES)
    scene = draw(families[number % len(families)], seed_of(split, number), split)
    image = _jpeg_roundtrip(scene)
    yield image, _scene_record(scene)
    rng = random.Random(f"crop/{scene.family}/{scene.seed}")
    if rng.random() < crops:
        cropped = _crop(rng, scene)
        if cropped is not None:
            box, record = cropped
            yield image.crop(box), record


def _jpeg_roundtrip(scene: Scene) -> Image.Image:
    """Encode and decode the image as JPEG, like an exported file."""
    buffer = io.BytesIO()
    quality = scene.metadata.get("jpeg_quality", 85)
    scene.image.convert("RGB").save(buffer, "JPEG", quality=int(quality))
    return Image.open(buffer).convert("RGB")


def _scene_record(scene: Scene) -> Record:
    size = scene.image.size
    return Record(
        family=scene.family,
        seed=scene.seed,
        combination=scene.combination,
        unseen=scene.unseen,
        crop=False,
        items=[
            Item(t.label, t.attributes, _rounded(to_square(t.box, size))) for t in scene.objects
        ],
        texts=[(r.text, _rounded(to_square(r.box, size))) for r in scene.texts],
        questions=[
            QuestionAnswer(
                q.kind,
                q.language,
                q.question,
                q.answer,
                _rounded(to_square(q.box, size)) if q.box else None,
            )
            for q in scene.questions
        ],
        captions=[*scene.captions["en"], *scene.captions["zh"]],
    )


def _crop(rng: random.Random, scene: Scene) -> tuple[tuple[int, int, int, int], Record] | None:
    """Sample a crop around one object with a margin up to half its size."""
    if not scene.objects:
        return None
    chosen = rng.choice(scene.objects)
    x0, y0, x1, y1 = chosen.box
    width, height = x1 - x0, y1 - y0
    left, top = (max(0, round(v - rng.uniform(0, 0.5) * s)) for v, s in ((x0, width), (y0, height)))
    right = min(scene.image.width, round(x1 + rng.uniform(0, 0.5) * width))
    bottom = min(scene.image.height, round(y1 + rng.uniform(0, 0.5) * height))
    size = right - left, bottom - top
    if min(size) < _MIN_CROP_PIXELS:
        return None
    items = []
    for scene_object in scene.objects:
        moved = _box_in_crop(scene_object, (left, top, right, bottom))
        if moved is not None:
            box = _rounded(to_square(moved, size))
            items.append(Item(scene_object.label, scene_object.attributes, box))
    return (left, top, right, bottom), Record(
        family=scene.family,
        seed=scene.seed,
        combination=scene.combination,
        unseen=scene.unseen,
        crop=True,
        items=items,
        texts=[],
        questions=existence_questions(rng, items, _similar_phrases(scene)),
        captions=[],
    )


def existence_questions(
    rng: random.Random, items: list[Item], rivals: list[str]
) -> list[QuestionAnswer]:
    """Create yes/no questions about present items and absent ``rivals``."""
    present = {item.phrase for item in items} | {item.label for item in items}
    absent = sorted(set(rivals) - present)
    answers = [(phrase, "yes") for phrase in sorted(present)]
    answers += [(phrase, "no") for phrase in rng.sample(absent, min(len(absent), len(answers)))]
    return [
        QuestionAnswer("existence", "en", existence_question(phrase), answer, None)
        for phrase, answer in answers
    ]


def _similar_phrases(scene: Scene) -> list[str]:
    """Return all combinations of colors and labels near the image content."""
    labels = {scene_object.label for scene_object in scene.objects}
    colors = {c for scene_object in scene.objects if (c := scene_object.attributes.get("colour"))}
    others = {"red", "white", "blue", "green", "black", "yellow"}
    return [*labels, *(f"{color} {label}" for label in labels for color in colors | others)]


def _box_in_crop(scene_object: SceneObject, crop: tuple[int, int, int, int]) -> Box | None:
    """Return a box in crop coordinates, or ``None`` if less than 70% is inside."""
    x0, y0 = max(scene_object.box[0], crop[0]), max(scene_object.box[1], crop[1])
    x1, y1 = min(scene_object.box[2], crop[2]), min(scene_object.box[3], crop[3])
    area = (scene_object.box[2] - scene_object.box[0]) * (scene_object.box[3] - scene_object.box[1])
    if x1 <= x0 or y1 <= y0 or (x1 - x0) * (y1 - y0) < 0.7 * area:
        return None
    return x0 - crop[0], y0 - crop[1], x1 - crop[0], y1 - crop[1]


def _rounded(box: Box) -> Box:
    return round(box[0], 4), round(box[1], 4), round(box[2], 4), round(box[3], 4)
