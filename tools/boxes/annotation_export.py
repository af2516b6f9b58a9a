"""Annotations as files that train and measure models: COCO, and LLaVA's conversations.

Pure: `sightline export-annotations` brings the rows and writes the pictures that they speak of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from sightline.storage.records.annotations import Annotation
from sightline.storage.records.assets import Asset
from sightline.tools.boxes.box_format import write
from sightline.tools.boxes.model_profiles import Profile

#: An asset with what is annotated on it, in the order of ids.
Annotated = tuple[Asset, Sequence[Annotation]]

_IMAGE: Final = "<image>\n"


def picture_file(asset: Asset) -> str:
    """The name under which the upright picture of an asset is exported."""
    return f"images/{asset.id}.jpg"


def coco(annotated: Sequence[Annotated]) -> dict[str, JsonValue]:
    """COCO's object detection format: boxes are [left, top, width, height] in pixels.

    What COCO has no field for (who drew it, when, the model, the source) stands beside it under
    names that its readers pass over. Ids count from 1.
    """
    labels = sorted({each.label for _, marks in annotated for each in marks})
    categories = {label: number for number, label in enumerate(labels, 1)}
    images: list[JsonValue] = []
    boxes: list[JsonValue] = []
    for number, (asset, marks) in enumerate(annotated, 1):
        images.append(
            {
                "id": number,
                "file_name": picture_file(asset),
                "width": asset.width,
                "height": asset.height,
                "asset": asset.id,
                "source": asset.source,
                "page": asset.page,
                "seconds": asset.frame_seconds,
            }
        )
        boxes += [_box(mark, asset, number, categories[mark.label]) for mark in marks]
    for number, box in enumerate(boxes, 1):
        if isinstance(box, dict):
            box["id"] = number
    return {
        "info": {"description": "Annotations kept by Sightline"},
        "licenses": [],
        "images": images,
        "categories": [{"id": number, "name": label} for label, number in categories.items()],
        "annotations": boxes,
    }


def _box(mark: Annotation, asset: Asset, image: int, category: int) -> dict[str, JsonValue]:
    x0, y0, x1, y1 = mark.box
    left, top = x0 * asset.width, y0 * asset.height
    width, height = (x1 - x0) * asset.width, (y1 - y0) * asset.height
    described: dict[str, JsonValue] = {
        "image_id": image,
        "category_id": category,
        "bbox": [round(value, 2) for value in (left, top, width, height)],
        "area": round(width * height, 2),
        "iscrowd": 0,
        "segmentation": [],
        "attributes": {
            "annotation": mark.id,
            "origin": mark.origin,
            "model": mark.model,
            "author": mark.author,
            "note": mark.note,
            "created_at": mark.created_at.isoformat(),
        },
    }
    if mark.score is not None:
        described["score"] = mark.score
    return described


def conversations(annotated: Sequence[Annotated], profile: Profile) -> list[JsonValue]:
    """LLaVA's training format: a picture and turns that ask where each label is.

    A picture's first question holds ``<image>``. Questions and boxes are in the words and numbers
    of ``profile``, of pictures prepared as it prepares them; several boxes of one label are
    answered together. Raises ValueError where the profile has no boxes.
    """
    found: list[JsonValue] = []
    for asset, marks in annotated:
        placement = profile.place((asset.width, asset.height))
        turns: list[JsonValue] = []
        for label, named in _by_label(marks).items():
            question = "".join(profile.locating([label]))
            answer = write([(label, mark.box) for mark in named], profile, placement)
            turns.append({"from": "human", "value": question if turns else _IMAGE + question})
            turns.append({"from": "gpt", "value": answer})
        if turns:
            found.append({"id": asset.id, "image": picture_file(asset), "conversations": turns})
    return found


def _by_label(marks: Sequence[Annotation]) -> Mapping[str, list[Annotation]]:
    found: dict[str, list[Annotation]] = {}
    for mark in marks:
        found.setdefault(mark.label, []).append(mark)
    return found
