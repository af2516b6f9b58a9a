"""Convert annotations to training data: COCO and LLaVA conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from sightline.storage.records.annotations import Annotation
from sightline.storage.records.assets import Asset
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.boxes.notations import format_boxes

#: An asset with its annotations, by id.
AnnotatedAsset = tuple[Asset, Sequence[Annotation]]

_IMAGE: Final = "<image>\n"


def image_file_name(asset: Asset) -> str:
    """Return the file name of the exported upright image of an asset."""
    return f"images/{asset.id}.jpg"


def to_coco(assets: Sequence[AnnotatedAsset]) -> dict[str, JsonValue]:
    """Return COCO data: boxes are [left, top, width, height] in pixels.

    Other facts (author, time, model, source) are in fields that COCO readers ignore.
    """
    labels = sorted({each.label for _, items in assets for each in items})
    categories = {label: number for number, label in enumerate(labels, 1)}
    boxes = [
        _coco_box(each, asset, number) | {"category_id": categories[each.label]}
        for number, (asset, items) in enumerate(assets, 1)
        for each in items
    ]
    return {
        "info": {"description": "Annotations from Sightline"},
        "licenses": [],
        "images": [
            {
                "id": number,
                "file_name": image_file_name(asset),
                "width": asset.width,
                "height": asset.height,
                "asset": asset.id,
                "source": asset.source,
                "page": asset.page,
                "seconds": asset.frame_seconds,
            }
            for number, (asset, _) in enumerate(assets, 1)
        ],
        "categories": [{"id": number, "name": label} for label, number in categories.items()],
        "annotations": [box | {"id": number} for number, box in enumerate(boxes, 1)],
    }


def _coco_box(annotation: Annotation, asset: Asset, image: int) -> dict[str, JsonValue]:
    x0, y0, x1, y1 = annotation.box
    left, top = x0 * asset.width, y0 * asset.height
    width, height = (x1 - x0) * asset.width, (y1 - y0) * asset.height
    score: dict[str, JsonValue] = {} if annotation.score is None else {"score": annotation.score}
    return score | {
        "image_id": image,
        "bbox": [round(value, 2) for value in (left, top, width, height)],
        "area": round(width * height, 2),
        "iscrowd": 0,
        "segmentation": [],
        "attributes": {
            "annotation": annotation.id,
            "origin": annotation.origin,
            "model": annotation.model,
            "author": annotation.author,
            "note": annotation.note,
            "created_at": annotation.created_at.isoformat(),
        },
    }


def to_llava(assets: Sequence[AnnotatedAsset], profile: Profile) -> list[JsonValue]:
    """Return LLaVA conversations that ask for the boxes of each label.

    The first question about an image contains ``<image>``. Questions and boxes follow the profile;
    one answer contains all boxes of a label. Raises ValueError if the profile has no boxes.
    """
    result: list[JsonValue] = []
    for asset, items in assets:
        placement = profile.place((asset.width, asset.height))
        turns: list[JsonValue] = []
        for label in dict.fromkeys(each.label for each in items):
            question = "".join(profile.locate_prompt([label]))
            boxes = [(label, each.box) for each in items if each.label == label]
            answer = format_boxes(boxes, profile, placement)
            turns.append({"from": "human", "value": question if turns else _IMAGE + question})
            turns.append({"from": "gpt", "value": answer})
        if turns:
            result.append({"id": asset.id, "image": image_file_name(asset), "conversations": turns})
    return result
