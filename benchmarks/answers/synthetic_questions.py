"""Questions about images of the synthetic world, with known answers.

The album contains images without captions, so retrieval must use vision and OCR. The question does
not say which image is meant; ``about`` does, with the most exact caption of the image. The language
alternates between English and Chinese.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sightline.server.evaluation.answer_metrics import NOT_SHOWN, EvalQuestion
from sightline.tools.answers.checks.domain import question_words
from sightline.training.vlm.data.wordings.rephrase import Wordings
from sightline.training.world.core.scene import Split
from sightline.training.world.core.splits import seed_of
from sightline.training.world.export import export
from sightline.training.world.families import FAMILIES, draw

ALBUM: Final = "album"
COLLECTION: Final = "synthetic-answers"
#: Training images of each family that the known words come from.
_WORD_IMAGES: Final = 120
_MIN_WORD_IMAGES: Final = 2
#: No other album uses this seed.
SEED: Final = 41


def create(
    folder: Path, split: Split, *, images: int, per_image: int, reworded: float = 0.0
) -> list[EvalQuestion]:
    """Render ``images`` of ``split`` into ``folder/album`` and return their questions.

    ``reworded`` is the share of questions in another wording than that of the generator.
    The same arguments give the same bytes and questions. An existing album is replaced.
    """
    world = folder / "world"
    for existing in (world, folder / ALBUM):
        shutil.rmtree(existing, ignore_errors=True)
    export(world, split=split, count=images, seed=SEED)
    (folder / ALBUM).mkdir()
    (world / "images").rename(folder / ALBUM / "images")
    sizes = _sizes(world / "instances.json")
    rows = _rows_by_image(_rows(world / "questions.jsonl"))
    questions: list[EvalQuestion] = []
    for row in _rows(world / "metadata.jsonl"):
        name = str(row["file_name"])
        questions += _select(row, rows[name], sizes[name], per_image)
    wordings, rng = Wordings.load(rate=reworded), random.Random("reworded")
    return [
        each.model_copy(
            update={"question": wordings.rephrase(rng, each.question, each.groups["language"])}
        )
        for each in questions
    ]


def known_words() -> set[str]:
    """Return the words that occur in questions of several training images, in any wording."""
    counts: Counter[str] = Counter()
    wordings, rng = Wordings.load(rate=1.0), random.Random("known words")
    for family in FAMILIES:
        for number in range(_WORD_IMAGES):
            scene = draw(family, seed_of("train", number), "train")
            texts = [
                text
                for q in scene.questions
                for text in (q.question, wordings.rephrase(rng, q.question, q.language))
            ]
            counts.update(set().union(*map(question_words, texts)))
    return {word for word, count in counts.items() if count >= _MIN_WORD_IMAGES}


def _select(
    image: dict[str, Any], rows: Sequence[dict[str, Any]], size: tuple[int, int], count: int
) -> Iterator[EvalQuestion]:
    """Prefer different kinds of questions; use one language of each question."""
    rng = random.Random(f"questions/{image['file_name']}")
    pairs = [list(rows[n : n + 2]) for n in range(0, len(rows), 2)]
    rng.shuffle(pairs)
    kinds = [pair[0]["kind"] for pair in pairs]
    repeated = [kinds[:index].count(kind) for index, kind in enumerate(kinds)]
    ordered = [pair for _, pair in sorted(zip(repeated, pairs, strict=True), key=itemgetter(0))]
    for number, pair in enumerate(ordered[:count]):
        language = ("en", "zh")[(number + image["seed"]) % 2]
        row = next(each for each in pair if each["language"] == language)
        yield _question(row, image, size, number)


def _question(
    row: dict[str, Any], image: dict[str, Any], size: tuple[int, int], number: int
) -> EvalQuestion:
    width, height = size
    box = row["box"]
    normalized = None
    if box is not None:
        x0, y0, x1, y1 = box
        corners = (x0 / width, y0 / height, x1 / width, y1 / height)
        normalized = [min(max(value, 0.0), 1.0) for value in corners]
    answerable = row["answer"] not in NOT_SHOWN
    return EvalQuestion(
        id=f"{row['file_name']}#{number}",
        question=row["question"],
        answer=row["answer"],
        about=image["captions"][row["language"]][0],
        sources=[row["file_name"]],
        box=normalized if answerable else None,
        answer_is_box=row["kind"] == "location",
        topic=row["file_name"],
        groups={
            "kind": row["kind"],
            "family": row["family"],
            "language": row["language"],
            "combination": "unseen" if row["unseen"] else "seen",
        },
    )


def _rows_by_image(rows: Iterator[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["file_name"], []).append(row)
    return grouped


def _sizes(path: Path) -> dict[str, tuple[int, int]]:
    listed = json.loads(path.read_text(encoding="utf-8"))["images"]
    return {each["file_name"]: (each["width"], each["height"]) for each in listed}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
