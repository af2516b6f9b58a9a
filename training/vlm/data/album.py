"""Pictures of the drawn world made ready for training: one array of squares, one file of truths.

An album is a folder with ``squares.u8`` (count, edge, edge, 3; uint8) and ``records.jsonl``. Boxes
in it are shares of the padded square. Beside whole pictures it may hold crops around one thing,
which teach the yes/no look at a claim's crop.
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
    """A thing, in the frame of the square."""

    label: str
    attributes: dict[str, str]
    box: Box

    @property
    def phrase(self) -> str:
        """``white van``: its colour, if it has one, and its label."""
        colour = self.attributes.get("colour", "")
        return f"{colour} {self.label}".strip()


@dataclass(frozen=True, slots=True)
class Ask:
    """A question with its answer, its box in the frame of the square."""

    kind: str
    language: str
    question: str
    answer: str
    box: Box | None


@dataclass(frozen=True, slots=True)
class Record:
    """What is true of one square. ``crop`` marks a part of a picture."""

    family: str
    seed: int
    combination: str
    unseen: bool
    crop: bool
    items: list[Item]
    readings: list[tuple[str, Box]]
    asks: list[Ask]
    captions: list[str]


def open_album(folder: Path, edge: int = EDGE) -> tuple[Squares, list[Record]]:
    """The squares (count, edge, edge, 3), memory-mapped, and their records."""
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
    asks = [Ask(**ask) for ask in record.asks]  # type: ignore[arg-type]
    return Record(
        record.family,
        record.seed,
        record.combination,
        record.unseen,
        record.crop,
        [Item(i.label, i.attributes, _box(list(i.box))) for i in items],
        [(text, _box(list(box))) for text, box in record.readings],
        [
            Ask(a.kind, a.language, a.question, a.answer, _box(list(a.box)) if a.box else None)
            for a in asks
        ],
        record.captions,
    )
