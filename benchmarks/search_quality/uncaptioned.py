"""Albums without captions, and queries about what their pictures show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from benchmarks import synthetic_album
from benchmarks.search_quality.outcomes import Query

_OBJECTS = "instances.json"
_METADATA = "metadata.jsonl"
_MAX_NAMED_OBJECTS = 2


def copy_photographs(folder: Path, album: Path) -> list[Query]:
    """Copy the pictures of a folder with ``instances.json``; return queries for their objects.

    Each object is a word and a phrase. Two objects of one picture are a phrase, and so is an object
    that no picture shows.
    """
    album.mkdir(parents=True, exist_ok=True)
    coco = json.loads((folder / _OBJECTS).read_text(encoding="utf-8"))
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    names = {each["id"]: Path(each["file_name"]).stem for each in coco["images"]}
    for each in coco["images"]:
        _copy_without_text(folder / each["file_name"], album / each["file_name"])
    shown: dict[str, dict[str, float]] = {name: {} for name in names.values()}
    for each in coco["annotations"]:
        areas, label = shown[names[each["image_id"]]], labels[each["category_id"]]
        areas[label] = areas.get(label, 0) + each["area"]
    return list(_photograph_queries(shown, sorted(labels.values())))


def _photograph_queries(
    shown: dict[str, dict[str, float]], labels: Sequence[str]
) -> Iterator[Query]:
    def showing(*wanted: str) -> frozenset[str]:
        return frozenset(name for name, areas in shown.items() if areas.keys() >= set(wanted))

    for label in labels:
        relevant = showing(label)
        yield Query("word" if relevant else "word, not shown", label, relevant)
        if relevant:
            yield Query("phrase", f"a photo of a {label}", relevant)
    largest = (
        sorted(sorted(areas, key=lambda label: -areas[label])[:_MAX_NAMED_OBJECTS])
        for areas in shown.values()
    )
    pairs = {tuple(each) for each in largest if len(each) == _MAX_NAMED_OBJECTS}
    for one, other in sorted(pairs):
        yield Query("two objects", f"a {one} and a {other}", showing(one, other))


def copy_products(folder: Path, album: Path) -> list[Query]:
    """Copy pictures of products under names that say nothing; return queries for the products."""
    album.mkdir(parents=True, exist_ok=True)
    lines = (folder / _METADATA).read_text(encoding="utf-8").splitlines()
    pictures: dict[str, set[str]] = {}
    for number, row in enumerate(map(json.loads, lines)):
        name = f"{number:05}{Path(row['file_name']).suffix}"
        _copy_without_text(folder / row["file_name"], album / name)
        pictures.setdefault(row["product"], set()).add(Path(name).stem)
    return [
        Query("product", product.replace("-", " ").lower(), frozenset(names))
        for product, names in sorted(pictures.items())
    ]


def _copy_without_text(source: Path, target: Path) -> None:
    """Copy a picture without its metadata, which may have keywords and a title."""
    with Image.open(source) as image:
        icc_profile = image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.info.clear()
    upright.save(target, quality=95, icc_profile=icc_profile)


def add_crops(album: Path, queries: Sequence[Query]) -> list[Query]:
    """Add the four quarters of each picture, which are relevant where the picture is."""
    crops: dict[str, list[str]] = {}
    for path in sorted(album.iterdir()):
        with Image.open(path) as image:
            width, height = image.size
            for number, (x, y) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1)), 1):
                name = f"{path.stem}{number}"
                box = x * width // 2, y * height // 2, (x + 1) * width // 2, (y + 1) * height // 2
                image.crop(box).convert("RGB").save(album / f"{name}.jpg", quality=90)
                crops.setdefault(path.stem, []).append(name)
    return [
        replace(each, relevant=each.relevant.union(*(crops[name] for name in each.relevant)))
        for each in queries
    ]


def render_synthetic(folder: Path, *, count: int, seed: int) -> tuple[Path, list[Query]]:
    """Render a synthetic album without captions; return its folder and the queries in English."""
    synthetic_album.render(folder, count=count, seed=seed)
    album = folder / synthetic_album.ALBUM
    (album / _METADATA).unlink()
    lines = (folder / synthetic_album.QUERIES).read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return album, [
        Query(
            f"synthetic {row['groups']['kind']}",
            row["query"],
            frozenset(Path(each["source"]).stem for each in row["relevant"]),
        )
        for row in rows
        if row.get("language") == "en" and row["groups"]["kind"] in ("caption", "object", "pair")
    ]
