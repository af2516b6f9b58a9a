"""An album of the synthetic world, and queries with known results.

The images are from the test split, on which no built-in model was trained. The album contains the
images, and for two of three images a short caption, alternating between English and Chinese. The
queries use other words:

caption   the most exact caption; relevant is the one image that it describes
object    an object and its color; relevant is every image that shows it
pair      two objects; an image with both has grade 2, with one of them grade 1
written   text in the image (a number, a price, a sign) that is in no caption
time      an object, with a time of day as filter
crop      a part of the image instead of text

Each query exists in English and Chinese, except crops. The rules do not depend on search results.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from PIL import Image

from sightline.storage.errors import InvalidArgumentError
from sightline.training.world.core.language import CHINESE, article
from sightline.training.world.export import export
from sightline.training.world.product.items import ITEMS
from sightline.training.world.room.furniture import PIECES
from sightline.training.world.shapes.plan import SHAPES
from sightline.training.world.street.vehicles import VEHICLES

ALBUM = "album"
QUERIES = "queries.jsonl"
COLLECTION = "synthetic"

_MAX_RELEVANT = 10
"""Queries with more relevant images are left out, because metrics at rank 10 say little."""
_CROP_INTERVAL = 4
_IMAGES = "images"
_CROP_BOX = (0.15, 0.15, 0.75, 0.75)
_EARLIEST, _LATEST = "06:00", "17:00"
_NAMES: Final = {
    **SHAPES,
    **{name: item[0] for name, item in ITEMS.items()},
    **{name: piece.zh for name, piece in PIECES.items()},
    **{name: vehicle[0] for name, vehicle in VEHICLES.items()},
}
#: By family: patterns of text in images, with the queries in English and Chinese.
_TEXT_PATTERNS: Final = {
    "product": (
        (re.compile(r"(?:ID: |编号：)(\S+)"), "ID {}", "编号{}"),
        (re.compile(r"([$¥]\d+)"), "price {}", "价格{}"),
    ),
    "heatsink": (
        (re.compile(r"([A-Z]{2}-\d{2})"), "part {}", "零件{}"),
        (re.compile(r"((?:LGA|AM|TR)\d+)"), "socket {}", "插座{}"),
    ),
    "spine": ((re.compile(r"([A-Z]-\d{2})"), "patient {}", "患者{}"),),
    "street": ((re.compile(r"([A-Z]{4,})"), "sign {}", "招牌{}"),),
    "flowchart": ((re.compile(r"([A-Z][a-z]{3,})"), "step {}", "步骤{}"),),
    "chart": ((re.compile(r"([A-Z][a-z]{5,})"), "chart of {}", "{}的图表"),),
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Image:
    """Ground truth of one image, and its caption in the album.

    ``name`` is its name in the album, which does not reveal the contents.
    """

    file_name: str
    family: str
    captions: dict[str, list[str]]
    album_caption: str | None
    objects: frozenset[tuple[str, str]]
    texts: frozenset[str]
    captured: datetime | None

    @property
    def name(self) -> str:
        return f"{_IMAGES}/{hashlib.sha256(self.file_name.encode()).hexdigest()[:10]}.jpg"


def render(folder: Path, *, count: int, seed: int, workers: int = 1) -> None:
    """Render ``count`` images and `prepare` them; the output is deterministic."""
    with tempfile.TemporaryDirectory(prefix="sightline-album-") as temporary:
        world = Path(temporary) / "world"
        export(world, split="test", count=count, seed=seed, workers=workers)
        prepare(world, folder)


def prepare(world: Path, folder: Path) -> None:
    """Write the `ALBUM` and the `QUERIES` of an output folder of ``sightline world``.

    Raises InvalidArgumentError if ``world`` is not such a folder.
    """
    images = _load_images(world)
    album = folder / ALBUM
    (album / _IMAGES).mkdir(parents=True)
    for each in images:
        shutil.copyfile(world / each.file_name, album / each.name)
    captions = [
        {"file_name": each.name, "caption": each.album_caption}
        for each in images
        if each.album_caption
    ]
    _write(album / "metadata.jsonl", captions)
    crops = folder / "crops"
    crops.mkdir()
    # Written last: a folder with queries is complete.
    _write(folder / QUERIES, [*_text_queries(images), *_crop_queries(images, album, crops)])


def _load_images(world: Path) -> list[_Image]:
    try:
        lines = (world / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        coco = json.loads((world / "instances.json").read_text(encoding="utf-8"))
        rows = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"{world} is not an output folder of `sightline world`: {error}"
        ) from error
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    files = {each["id"]: each["file_name"] for each in coco["images"]}
    objects: dict[str, set[tuple[str, str]]] = {name: set() for name in files.values()}
    texts: dict[str, set[str]] = {name: set() for name in files.values()}
    for each in coco["annotations"]:
        name, attributes = files[each["image_id"]], each["attributes"]
        if labels[each["category_id"]] == "text":
            texts[name].add(attributes["text"])
        elif "colour" in attributes:
            objects[name].add((labels[each["category_id"]], attributes["colour"]))
    return [
        _Image(
            file_name=row["file_name"],
            family=row["family"],
            captions=row["captions"],
            # English, Chinese and no caption alternate, shifted by one after each round of
            # families, so that each family has all three.
            album_caption=_album_caption(row["captions"], index, len({r["family"] for r in rows})),
            objects=frozenset(objects[row["file_name"]]),
            texts=frozenset(texts[row["file_name"]]),
            captured=datetime.fromisoformat(row["captured_at"]) if row["captured_at"] else None,
        )
        for index, row in enumerate(rows)
    ]


def _album_caption(captions: dict[str, list[str]], index: int, families: int) -> str | None:
    turn = (index + index // families) % 3
    return None if turn == 2 else captions["en" if turn == 0 else "zh"][-1]


def _text_queries(images: Sequence[_Image]) -> Iterator[Json]:
    for number, each in enumerate(images):
        words = {language: captions[0] for language, captions in each.captions.items()}
        yield from _translated(f"caption-{number}", words, "caption", each.family, {each.name: 1})
    yield from _object_queries(images)
    yield from _pair_queries(images)
    yield from _written_queries(images)


def _object_queries(images: Sequence[_Image]) -> Iterator[Json]:
    for label, color in sorted({thing for each in images for thing in each.objects}):
        if label not in _NAMES:
            continue
        showing = [each for each in images if (label, color) in each.objects]
        if len(showing) <= _MAX_RELEVANT:
            grades = {each.name: 1 for each in showing}
            topic, words = f"object-{color}-{label}", _object_name(label, color)
            yield from _translated(topic, words, "object", _family(showing), grades)
        dated = [each for each in showing if each.captured]
        matching = [each for each in dated if _EARLIEST <= f"{each.captured:%H:%M}" <= _LATEST]
        if 0 < len(matching) < len(dated) and len(matching) <= _MAX_RELEVANT:
            filters = {"time_of_day": {"between": [_EARLIEST, _LATEST]}}
            topic, words = f"time-{color}-{label}", _object_name(label, color)
            grades = {each.name: 1 for each in matching}
            yield from _translated(topic, words, "time", _family(matching), grades, filters=filters)


def _pair_queries(images: Sequence[_Image]) -> Iterator[Json]:
    named = [sorted(thing for thing in each.objects if thing[0] in _NAMES) for each in images]
    for one, other in sorted({pair for objects in named for pair in combinations(objects, 2)}):
        shown = {each.name: ({one, other} & each.objects, each) for each in images}
        grades = {name: len(both) for name, (both, _) in shown.items() if both}
        both = [each for _, each in shown.values() if {one, other} <= each.objects]
        if len(grades) <= _MAX_RELEVANT:
            first, second = _object_name(*one), _object_name(*other)
            words = {
                "en": f"{first['en']} and {second['en']}",
                "zh": f"{first['zh']}和{second['zh']}",
            }
            topic = "pair-" + "-".join((*one, *other))
            yield from _translated(topic, words, "pair", _family(both), grades)


def _written_queries(images: Sequence[_Image]) -> Iterator[Json]:
    captions = " ".join(each.album_caption for each in images if each.album_caption)
    for family, forms in _TEXT_PATTERNS.items():
        of_family = [each for each in images if each.family == family]
        for pattern, english, chinese in forms:
            found = {
                (match[1], each.name)
                for each in of_family
                for text in each.texts
                if (match := pattern.fullmatch(text))
            }
            for text in sorted({text for text, _ in found}):
                # The text may also be in images of other families.
                whole_word = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
                relevant = [each for each in images if any(map(whole_word.search, each.texts))]
                if len(relevant) > _MAX_RELEVANT or text in captions:
                    continue
                words = {"en": english.format(text), "zh": chinese.format(text)}
                grades = {each.name: 1 for each in relevant}
                topic = f"written-{family}-{text}"
                yield from _translated(topic, words, "written", family, grades)
                yield from _translated(
                    f"passage-{family}-{text}", words, "written", family, grades, search="text"
                )


def _crop_queries(images: Sequence[_Image], album: Path, crops: Path) -> Iterator[Json]:
    x0, y0, x1, y1 = _CROP_BOX
    for number, each in enumerate(images[::_CROP_INTERVAL]):
        with Image.open(album / each.name) as image:
            width, height = image.size
            box = (x0 * width, y0 * height, x1 * width, y1 * height)
            image.crop(box).save(crops / f"{number}.png")
        yield {
            "id": f"crop-{number}",
            "image": f"{crops.name}/{number}.png",
            "groups": {"kind": "crop", "family": each.family},
            "relevant": [{"source": each.name}],
        }


def _object_name(label: str, color: str) -> dict[str, str]:
    return {"en": article(f"{color} {label}"), "zh": f"{CHINESE[color]}{_NAMES[label]}"}


def _family(images: Sequence[_Image]) -> str:
    """Return the most frequent family."""
    return Counter(each.family for each in images).most_common(1)[0][0]


def _translated(
    topic: str, words: dict[str, str], kind: str, family: str, grades: dict[str, int], **more: Any
) -> Iterator[Json]:
    for language, query in words.items():
        yield {
            "id": f"{topic}-{language}",
            "query": query,
            "language": language,
            "topic": topic,
            "groups": {"kind": kind, "family": family},
            "relevant": [_relevant(name, grade, **more) for name, grade in grades.items()],
            **more,
        }


def _relevant(name: str, grade: int, **more: Any) -> Json:
    passage = {"kind": "ocr"} if more.get("search") == "text" else {}
    return {"source": name, "grade": grade, **passage}


def _write(path: Path, rows: Sequence[Json]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
