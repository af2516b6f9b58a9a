"""Album: letterboxed images and ground truth, ready for training.

An album is a folder with ``squares.u8`` (count, edge, edge, 3; uint8) and ``records.jsonl``. Boxes
are relative to the letterbox square. An album can contain crops around one object, which train the
yes/no check of a claim.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sightline.training.vlm.data.letterbox import EDGE, Box

SQUARES: Final = "squares.u8"
RECORDS: Final = "records.jsonl"
Squares = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Item:
    """An object with a box in square coordinates."""

    label: str
    attributes: dict[str, str]
    box: Box

    @property
    def phrase(self) -> str:
        """Color (if any) and label, e.g. ``white van``."""
        color = self.attributes.get("colour", "")
        return f"{color} {self.label}".strip()


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    """A question with its answer and box in square coordinates."""

    kind: str
    language: str
    question: str
    answer: str
    box: Box | None


@dataclass(frozen=True, slots=True)
class Record:
    """Ground truth of one square; ``crop`` marks a part of an image."""

    family: str
    seed: int
    combination: str
    unseen: bool
    crop: bool
    items: list[Item]
    texts: list[tuple[str, Box]]
    questions: list[QuestionAnswer]
    captions: list[str]


def open_album(folder: Path, edge: int = EDGE) -> tuple[Squares, list[Record]]:
    """Open the memory-mapped squares (count, edge, edge, 3) and records."""
    with (folder / RECORDS).open(encoding="utf-8") as lines:
        records = [_record(json.loads(line)) for line in lines]
    squares = np.memmap(
        folder / SQUARES, dtype=np.uint8, mode="r", shape=(len(records), edge, edge, 3)
    )
    return squares, records


def _box(values: list[float]) -> Box:
    return values[0], values[1], values[2], values[3]


def _record(data: dict[str, object]) -> Record:
    record = Record(**data)  # type: ignore[arg-type]
    items = [Item(**item) for item in record.items]  # type: ignore[arg-type]
    questions = [QuestionAnswer(**qa) for qa in record.questions]  # type: ignore[arg-type]
    return Record(
        record.family,
        record.seed,
        record.combination,
        record.unseen,
        record.crop,
        [Item(i.label, i.attributes, _box(list(i.box))) for i in items],
        [(text, _box(list(box))) for text, box in record.texts],
        [
            QuestionAnswer(
                a.kind, a.language, a.question, a.answer, _box(list(a.box)) if a.box else None
            )
            for a in questions
        ],
        record.captions,
    )
