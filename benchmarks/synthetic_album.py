"""An album of the drawn world, and queries whose right answers are known from how it was drawn.

Held out: the pictures are of the test split, which no built-in model was trained on. What the
server is given is what people give: the picture, and for two in three a short caption, by turns in
English and in Chinese. Queries are other words:

caption   the most exact caption; right is the one picture that it was written for
object    a thing and its colour; right is every picture that shows one
pair      two things; a picture that shows both is worth 2, one of them 1
written   what is written in the picture (a number, a price, a sign) and in no caption
time      a thing, and a time of day as a filter
crop      a piece of the picture instead of words

Each is asked in English and in Chinese, but for pieces. Rules never look at what a search finds.
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
from sightline.training.world.shapes.words import SHAPES
from sightline.training.world.street.vehicles import VEHICLES

ALBUM = "album"
QUERIES = "queries.jsonl"
COLLECTION = "drawn"

_MOST_RIGHT = 10
"""A query that more pictures fit says little at the first ten places, and is left out."""
_CROP_EVERY = 4
_IMAGES = "images"
_CROP_EDGES = (0.15, 0.15, 0.75, 0.75)
_FROM, _TO = "06:00", "17:00"
_NAMES: Final = {
    **SHAPES,
    **{name: item[0] for name, item in ITEMS.items()},
    **{name: piece.zh for name, piece in PIECES.items()},
    **{name: vehicle[0] for name, vehicle in VEHICLES.items()},
}
#: By family: what written text is asked for, and how, in English and Chinese.
_WRITTEN: Final = {
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
class _Picture:
    """What is true of one picture, and the caption that the server is given.

    It was drawn as ``file_name``; its ``name`` in the album does not say what it shows.
    """

    file_name: str
    family: str
    captions: dict[str, list[str]]
    given: str | None
    things: frozenset[tuple[str, str]]
    texts: frozenset[str]
    captured: datetime | None

    @property
    def name(self) -> str:
        return f"{_IMAGES}/{hashlib.sha256(self.file_name.encode()).hexdigest()[:10]}.jpg"


def draw(folder: Path, *, count: int, seed: int, workers: int = 1) -> None:
    """Draw ``count`` pictures and `prepare` them; the same count and seed give the same bytes."""
    with tempfile.TemporaryDirectory(prefix="sightline-drawn-") as temporary:
        drawn = Path(temporary) / "world"
        export(drawn, split="test", count=count, seed=seed, workers=workers)
        prepare(drawn, folder)


def prepare(drawn: Path, folder: Path) -> None:
    """Make ``folder``, with the `ALBUM` to ingest and the `QUERIES`, of what ``sightline world``
    drew.

    Raises InvalidArgumentError where ``drawn`` is no such folder.
    """
    pictures = _pictures(drawn)
    album = folder / ALBUM
    (album / _IMAGES).mkdir(parents=True)
    for each in pictures:
        shutil.copyfile(drawn / each.file_name, album / each.name)
    told = [{"file_name": each.name, "caption": each.given} for each in pictures if each.given]
    _write(album / "metadata.jsonl", told)
    crops = folder / "crops"
    crops.mkdir()
    # The queries last: a folder that has them is complete.
    _write(folder / QUERIES, [*_worded(pictures), *_cropped(pictures, album, crops)])


def _pictures(drawn: Path) -> list[_Picture]:
    try:
        lines = (drawn / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        coco = json.loads((drawn / "instances.json").read_text(encoding="utf-8"))
        rows = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"{drawn} is no album that `sightline world` drew: {error}"
        ) from error
    labels = {each["id"]: each["name"] for each in coco["categories"]}
    files = {each["id"]: each["file_name"] for each in coco["images"]}
    things: dict[str, set[tuple[str, str]]] = {name: set() for name in files.values()}
    texts: dict[str, set[str]] = {name: set() for name in files.values()}
    for each in coco["annotations"]:
        name, attributes = files[each["image_id"]], each["attributes"]
        if labels[each["category_id"]] == "text":
            texts[name].add(attributes["text"])
        elif "colour" in attributes:
            things[name].add((labels[each["category_id"]], attributes["colour"]))
    return [
        _Picture(
            file_name=row["file_name"],
            family=row["family"],
            captions=row["captions"],
            # By turns in English, in Chinese, and none; moved on by one each time round the
            # families, so that each family has all three.
            given=_given(row["captions"], place, len({r["family"] for r in rows})),
            things=frozenset(things[row["file_name"]]),
            texts=frozenset(texts[row["file_name"]]),
            captured=datetime.fromisoformat(row["captured_at"]) if row["captured_at"] else None,
        )
        for place, row in enumerate(rows)
    ]


def _given(captions: dict[str, list[str]], place: int, families: int) -> str | None:
    turn = (place + place // families) % 3
    return None if turn == 2 else captions["en" if turn == 0 else "zh"][-1]


def _worded(pictures: Sequence[_Picture]) -> Iterator[Json]:
    for number, each in enumerate(pictures):
        words = {language: captions[0] for language, captions in each.captions.items()}
        yield from _twins(f"caption-{number}", words, "caption", each.family, {each.name: 1})
    yield from _objects(pictures)
    yield from _pairs(pictures)
    yield from _written(pictures)


def _objects(pictures: Sequence[_Picture]) -> Iterator[Json]:
    for label, colour in sorted({thing for each in pictures for thing in each.things}):
        if label not in _NAMES:
            continue
        showing = [each for each in pictures if (label, colour) in each.things]
        if len(showing) <= _MOST_RIGHT:
            grades = {each.name: 1 for each in showing}
            topic, words = f"object-{colour}-{label}", _thing(label, colour)
            yield from _twins(topic, words, "object", _family(showing), grades)
        dated = [each for each in showing if each.captured]
        timely = [each for each in dated if _FROM <= f"{each.captured:%H:%M}" <= _TO]
        if 0 < len(timely) < len(dated) and len(timely) <= _MOST_RIGHT:
            filters = {"time_of_day": {"between": [_FROM, _TO]}}
            topic, words = f"time-{colour}-{label}", _thing(label, colour)
            grades = {each.name: 1 for each in timely}
            yield from _twins(topic, words, "time", _family(timely), grades, filters=filters)


def _pairs(pictures: Sequence[_Picture]) -> Iterator[Json]:
    named = [sorted(thing for thing in each.things if thing[0] in _NAMES) for each in pictures]
    for one, other in sorted({pair for things in named for pair in combinations(things, 2)}):
        shown = {each.name: ({one, other} & each.things, each) for each in pictures}
        grades = {name: len(both) for name, (both, _) in shown.items() if both}
        both = [each for _, each in shown.values() if {one, other} <= each.things]
        if len(grades) <= _MOST_RIGHT:
            first, second = _thing(*one), _thing(*other)
            words = {
                "en": f"{first['en']} and {second['en']}",
                "zh": f"{first['zh']}和{second['zh']}",
            }
            topic = "pair-" + "-".join((*one, *other))
            yield from _twins(topic, words, "pair", _family(both), grades)


def _written(pictures: Sequence[_Picture]) -> Iterator[Json]:
    told = " ".join(each.given for each in pictures if each.given)
    for family, forms in _WRITTEN.items():
        of_family = [each for each in pictures if each.family == family]
        for pattern, english, chinese in forms:
            found = {
                (match[1], each.name)
                for each in of_family
                for text in each.texts
                if (match := pattern.fullmatch(text))
            }
            for text in sorted({text for text, _ in found}):
                # Wherever it is drawn, in whatever family.
                whole = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
                right = [each for each in pictures if any(map(whole.search, each.texts))]
                if len(right) > _MOST_RIGHT or text in told:
                    continue
                words = {"en": english.format(text), "zh": chinese.format(text)}
                grades = {each.name: 1 for each in right}
                topic = f"written-{family}-{text}"
                yield from _twins(topic, words, "written", family, grades)
                yield from _twins(
                    f"passage-{family}-{text}", words, "written", family, grades, search="text"
                )


def _cropped(pictures: Sequence[_Picture], album: Path, crops: Path) -> Iterator[Json]:
    x0, y0, x1, y1 = _CROP_EDGES
    for number, each in enumerate(pictures[::_CROP_EVERY]):
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


def _thing(label: str, colour: str) -> dict[str, str]:
    return {"en": article(f"{colour} {label}"), "zh": f"{CHINESE[colour]}{_NAMES[label]}"}


def _family(pictures: Sequence[_Picture]) -> str:
    """The family of most of them."""
    return Counter(each.family for each in pictures).most_common(1)[0][0]


def _twins(
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
    read = {"kind": "ocr"} if more.get("search") == "text" else {}
    return {"source": name, "grade": grade, **read}


def _write(path: Path, rows: Sequence[Json]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
