"""Draws albums: pictures of the world with their truths, in the frame that the model sees."""

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

from sightline.training.vlm.data.album import RECORDS, SQUARES, Ask, Item, Record
from sightline.training.vlm.data.letterbox import EDGE, Box, as_square, to_square
from sightline.training.vlm.data.prompt import existence_question
from sightline.training.world.core.scene import Scene, SceneObject, Split
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw

_SMALLEST_CROP: Final = 24


def draw_album(
    folder: Path, split: Split, count: int, *, crops: float = 0.0, start: int = 0, edge: int = EDGE
) -> None:
    """Draw ``count`` pictures, families in turn, and a crop of each ``crops``-th share of them.

    ``start`` is the number of the split's first picture to draw. The folder appears when complete.
    """
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with (part / SQUARES).open("wb") as squares, (part / RECORDS).open("w") as records:
        for number in range(start, start + count):
            for image, record in _squares_of(split, number, crops):
                squares.write(np.asarray(as_square(image, edge)).tobytes())
                records.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
    part.replace(folder)


def _squares_of(split: Split, number: int, crops: float) -> Iterator[tuple[Image.Image, Record]]:
    families = list(FAMILIES)
    picture = draw(families[number % len(families)], seed_of(split, number), split)
    image = _as_jpeg(picture)
    yield image, _whole(picture)
    rng = random.Random(f"crop/{picture.family}/{picture.seed}")
    if rng.random() < crops:
        cropped = _crop(rng, picture)
        if cropped is not None:
            box, record = cropped
            yield image.crop(box), record


def _as_jpeg(picture: Scene) -> Image.Image:
    """The picture as it looks once it has been written."""
    buffer = io.BytesIO()
    quality = picture.metadata.get("jpeg_quality", 85)
    picture.image.convert("RGB").save(buffer, "JPEG", quality=int(quality))
    return Image.open(buffer).convert("RGB")


def _whole(picture: Scene) -> Record:
    size = picture.image.size
    return Record(
        family=picture.family,
        seed=picture.seed,
        combination=picture.combination,
        unseen=picture.unseen,
        crop=False,
        items=[
            Item(t.label, t.attributes, _rounded(to_square(t.box, size))) for t in picture.objects
        ],
        readings=[(r.text, _rounded(to_square(r.box, size))) for r in picture.texts],
        asks=[
            Ask(
                q.kind,
                q.language,
                q.question,
                q.answer,
                _rounded(to_square(q.box, size)) if q.box else None,
            )
            for q in picture.questions
        ],
        captions=[*picture.captions["en"], *picture.captions["zh"]],
    )


def _crop(rng: random.Random, picture: Scene) -> tuple[tuple[int, int, int, int], Record] | None:
    """A part of the picture around one thing, with up to half its size of margin a side."""
    if not picture.objects:
        return None
    chosen = rng.choice(picture.objects)
    x0, y0, x1, y1 = chosen.box
    width, height = x1 - x0, y1 - y0
    left, top = (max(0, round(v - rng.uniform(0, 0.5) * s)) for v, s in ((x0, width), (y0, height)))
    right = min(picture.image.width, round(x1 + rng.uniform(0, 0.5) * width))
    bottom = min(picture.image.height, round(y1 + rng.uniform(0, 0.5) * height))
    size = right - left, bottom - top
    if min(size) < _SMALLEST_CROP:
        return None
    items = []
    for thing in picture.objects:
        moved = _within(thing, (left, top, right, bottom))
        if moved is not None:
            box = _rounded(to_square(moved, size))
            items.append(Item(thing.label, thing.attributes, box))
    return (left, top, right, bottom), Record(
        family=picture.family,
        seed=picture.seed,
        combination=picture.combination,
        unseen=picture.unseen,
        crop=True,
        items=items,
        readings=[],
        asks=existence_asks(rng, items, _phrases(picture)),
        captions=[],
    )


def existence_asks(rng: random.Random, items: list[Item], rivals: list[str]) -> list[Ask]:
    """Yes/no questions about what is there, and about ``rivals`` that are not."""
    present = {item.phrase for item in items} | {item.label for item in items}
    absent = sorted(set(rivals) - present)
    asked = [(phrase, "yes") for phrase in sorted(present)]
    asked += [(phrase, "no") for phrase in rng.sample(absent, min(len(absent), len(asked)))]
    return [
        Ask("existence", "en", existence_question(phrase), answer, None) for phrase, answer in asked
    ]


def _phrases(picture: Scene) -> list[str]:
    """Phrases near to what is in the picture, true or not: every colour with every label."""
    labels = {thing.label for thing in picture.objects}
    colours = {c for thing in picture.objects if (c := thing.attributes.get("colour"))}
    others = {"red", "white", "blue", "green", "black", "yellow"}
    return [*labels, *(f"{colour} {label}" for label in labels for colour in colours | others)]


def _within(thing: SceneObject, crop: tuple[int, int, int, int]) -> Box | None:
    """A thing's box in the frame of a crop; ``None`` where under 70% of it is in the crop."""
    x0, y0 = max(thing.box[0], crop[0]), max(thing.box[1], crop[1])
    x1, y1 = min(thing.box[2], crop[2]), min(thing.box[3], crop[3])
    area = (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1])
    if x1 <= x0 or y1 <= y0 or (x1 - x0) * (y1 - y0) < 0.7 * area:
        return None
    return x0 - crop[0], y0 - crop[1], x1 - crop[0], y1 - crop[1]


def _rounded(box: Box) -> Box:
    return round(box[0], 4), round(box[1], 4), round(box[2], 4), round(box[3], 4)
