"""Targets of the detector: the boxes of a picture and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sightline.training.detector.data.concepts import CONCEPTS
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.scene import Box, Scene, SceneObject

_PRICE: Final = re.compile(r"[$€£¥]\s?\d+")
_NUMBER: Final = re.compile(r"(?:ID: |编号：)\S")


@dataclass(frozen=True, slots=True)
class Target:
    """A thing in a picture.

    ``box`` is in fractions of the picture, ``names`` are its concepts, ``colour`` is empty if it
    has none, ``own`` is a name that only this thing has, such as "bar of Lime".
    """

    box: Box
    names: tuple[str, ...]
    colour: str = ""
    own: str = ""


def targets_of(scene: Scene) -> list[Target]:
    """Return everything with a box: the objects, and the texts with a role."""
    width, height = scene.image.size
    found = []
    for target in [*_objects(scene), *_written(scene)]:
        x0, y0, x1, y1 = target.box
        box = (
            round(max(0.0, x0 / width), 4),
            round(max(0.0, y0 / height), 4),
            round(min(1.0, x1 / width), 4),
            round(min(1.0, y1 / height), 4),
        )
        if box[2] > box[0] and box[3] > box[1]:
            found.append(Target(box, target.names, target.colour, target.own))
    return found


def _objects(scene: Scene) -> Iterator[Target]:
    for thing in scene.objects:
        label = thing.attributes.get("mark", thing.label)
        colour = thing.attributes.get("colour", "")
        names = [label.split()[-1] if scene.family == "geometry" else label]
        names += [name for name, each in CONCEPTS.items() if label in each.parts]
        if scene.family != "product":
            names = [name for name in names if name != "product"]
        if scene.family != "room":
            names = [name for name in names if name != "furniture"]
        names += _states(scene.family, thing)
        yield Target(
            thing.box,
            tuple(name for name in names if name in CONCEPTS),
            colour if colour in COLORS else "",
            _own_name(scene.family, thing, label),
        )


def _states(family: str, thing: SceneObject) -> Iterator[str]:
    state = thing.attributes.get("state")
    if family == "shapes":
        yield "shape"
    if family == "flowchart" and thing.label == "diamond":
        yield "decision"
    if thing.label == "lamp" and state is not None:
        yield "lit lamp" if state == "on" else "dark lamp"
    if thing.label == "vertebra" and state != "normal":
        yield "abnormal vertebra"


def _own_name(family: str, thing: SceneObject, label: str) -> str:
    match family:
        case "chart":
            return f"{label} of {thing.label}"
        case "flowchart":
            return f"{label} {thing.attributes['text']}"
        case "spine":
            return f"vertebra {thing.attributes['name']}"
        case _:
            return ""


def _written(scene: Scene) -> Iterator[Target]:
    """Yield the texts whose role follows from what they say or from where they are."""
    parts = {each.attributes["part"] for each in scene.objects if "part" in each.attributes}
    for place, text in enumerate(scene.texts):
        name = ""
        if scene.family == "product":
            if _PRICE.fullmatch(text.text):
                name = "price"
            elif _NUMBER.match(text.text):
                name = "product number"
            elif place == 0:
                name = "brand"
        elif scene.family == "heatsink" and text.text in parts:
            name = "part number"
        elif scene.family == "room":
            name = "clock"
        elif scene.family == "chart" and place == 0:
            name = "title"
        elif scene.family == "geometry" and text is scene.texts[-1]:
            name = "question"
        if name:
            yield Target(text.box, (name,))
