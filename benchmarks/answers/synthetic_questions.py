"""Questions about pictures of the drawn world, whose answers are known from how it was drawn.

The server is given the pictures alone: no caption, so that retrieval has to see and to read. A
question says nothing of which picture it means; ``about`` does, in the words of the picture's most
exact caption. Each is asked in one language, by turns.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sightline.server.evaluation.answers.eval_questions import NOT_SHOWN, Question
from sightline.training.world.core.picture import Split
from sightline.training.world.export import export

ALBUM: Final = "album"
COLLECTION: Final = "drawn-answers"
#: Pictures of this seed are in no other album.
SEED: Final = 41


def make(folder: Path, split: Split, *, pictures: int, each: int) -> list[Question]:
    """Draw ``pictures`` of ``split`` into ``folder/album``; ``each`` questions about every one.

    The same arguments give the same bytes and questions. What an earlier call drew there is
    replaced.
    """
    drawn = folder / "drawn"
    for earlier in (drawn, folder / ALBUM):
        shutil.rmtree(earlier, ignore_errors=True)
    export(drawn, split=split, count=pictures, seed=SEED)
    (folder / ALBUM).mkdir()
    (drawn / "images").rename(folder / ALBUM / "images")
    sizes = _sizes(drawn / "instances.json")
    asked = _by_picture(_rows(drawn / "questions.jsonl"))
    found: list[Question] = []
    for row in _rows(drawn / "metadata.jsonl"):
        name = str(row["file_name"])
        found += _some(row, asked[name], sizes[name], each)
    return found


def _some(
    picture: dict[str, Any], rows: Sequence[dict[str, Any]], size: tuple[int, int], each: int
) -> Iterator[Question]:
    """Of every kind of question first, then of any; one of each pair of twins."""
    rng = random.Random(f"questions/{picture['file_name']}")
    twins = [list(rows[n : n + 2]) for n in range(0, len(rows), 2)]
    rng.shuffle(twins)
    kinds = [pair[0]["kind"] for pair in twins]
    repeated = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
    ordered = [pair for _, pair in sorted(zip(repeated, twins, strict=True), key=itemgetter(0))]
    for number, pair in enumerate(ordered[:each]):
        language = ("en", "zh")[(number + picture["seed"]) % 2]
        row = next(each for each in pair if each["language"] == language)
        yield _question(row, picture, size, number)


def _question(
    row: dict[str, Any], picture: dict[str, Any], size: tuple[int, int], number: int
) -> Question:
    width, height = size
    box = row["box"]
    shares = None
    if box is not None:
        x0, y0, x1, y1 = box
        corners = (x0 / width, y0 / height, x1 / width, y1 / height)
        shares = [min(max(value, 0.0), 1.0) for value in corners]
    answerable = row["answer"] not in NOT_SHOWN
    return Question(
        id=f"{row['file_name']}#{number}",
        question=row["question"],
        answer=row["answer"],
        about=picture["captions"][row["language"]][0],
        sources=[row["file_name"]],
        box=shares if answerable else None,
        place=row["kind"] == "location",
        topic=row["file_name"],
        groups={
            "kind": row["kind"],
            "family": row["family"],
            "language": row["language"],
            "combination": "unseen" if row["unseen"] else "seen",
        },
    )


def _by_picture(rows: Iterator[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["file_name"], []).append(row)
    return found


def _sizes(path: Path) -> dict[str, tuple[int, int]]:
    listed = json.loads(path.read_text(encoding="utf-8"))["images"]
    return {each["file_name"]: (each["width"], each["height"]) for each in listed}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
