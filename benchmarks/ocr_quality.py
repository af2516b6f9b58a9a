"""How well receipts are read: upright and turned, with the CPU time.

    python -m benchmarks ocr_quality -- --receipts FOLDER [--count 40]

The folder has pictures and ``truth.jsonl`` with ``file_name``, ``total`` and ``lines`` (``text``,
``quad`` of four corners in pixels), as in ICDAR 2019 SROIE. Each receipt is read upright and turned
counter-clockwise by 90, 180, 270 and 7 degrees. Words are runs of letters
and digits, compared without their case.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.tables import print_table
from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.storage.interfaces import OcrEngine
from sightline.storage.types import Box

_TURNS = (0, 90, 180, 270, 7)
_MAX_SECONDS = 60.0


class Line(NamedTuple):
    """A line of the truth; ``quad`` is (4, 2) in pixels of the upright picture."""

    text: str
    quad: NDArray[np.float64]


@dataclass(slots=True)
class Figures:
    """Sums over pictures; `rows` divides them."""

    words: int = 0
    found_words: int = 0
    found_letters: int = 0
    totals: int = 0
    found_totals: int = 0
    lines: int = 0
    overlap: float = 0.0
    confidence: float = 0.0
    pictures: int = 0
    cpu_seconds: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def row(self) -> list[str]:
        """Return the shares as cells of a table."""
        return [
            f"{self.found_words / max(1, self.words):.3f}",
            f"{self.found_letters / max(1, self.words):.3f}",
            f"{self.found_totals / max(1, self.totals):.2f}",
            f"{self.overlap / max(1, self.lines):.2f}",
            f"{self.confidence / max(1, self.pictures):.2f}",
            f"{self.cpu_seconds / max(1, self.pictures):.2f}",
        ]


COLUMNS = ("recall", "without spaces", "totals", "box IoU", "confidence", "CPU s")


async def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="ocr_quality", description=__doc__)
    parser.add_argument("--receipts", type=Path, required=True)
    parser.add_argument("--count", type=int, default=40, help="receipts to read")
    parser.add_argument("--turns", type=int, nargs="*", default=list(_TURNS), help="degrees")
    parser.add_argument("--verbose", action="store_true", help="print the words not found")
    options = parser.parse_args(arguments)
    engine = load_ocr_engine()
    print(f"engine: {engine.name}")
    engine.read(Image.new("RGB", (64, 64), "white"), _MAX_SECONDS)  # loads the models
    truth = (options.receipts / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    receipts = [json.loads(line) for line in truth][: options.count]
    rows = []
    for degrees in options.turns:
        total = Figures()
        for receipt in receipts:
            total += measure(engine, options.receipts, receipt, degrees, verbose=options.verbose)
        rows.append([f"{degrees} degrees", *total.row()])
    print_table(f"OCR of {len(receipts)} receipts", ["turned by", *COLUMNS], rows)


def measure(
    engine: OcrEngine, folder: Path, receipt: dict[str, Any], degrees: int, *, verbose: bool
) -> Figures:
    """Read one receipt, turned counter-clockwise by ``degrees``."""
    with Image.open(folder / receipt["file_name"]) as file:
        upright = file.convert("RGB")
    image = upright.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    start = time.process_time()
    read = engine.read(image, _MAX_SECONDS).lines
    seconds = time.process_time() - start
    lines = [
        Line(each["text"], np.array(each["quad"], np.float64).reshape(4, 2))
        for each in receipt["lines"]
    ]
    missing = missing_words([line.text for line in lines], [line.text for line in read])
    words = sum(len(words_of(line.text)) for line in lines)
    letters = letters_of(" ".join(line.text for line in read))
    truth = [_turned_box(line.quad, upright.size, image.size, degrees) for line in lines]
    if verbose:
        print(receipt["file_name"], degrees, *missing)
    total = str(receipt.get("total") or "")
    weights = [len(line.text) for line in read]
    scores = [line.confidence for line in read]
    return Figures(
        words=words,
        found_words=words - len(missing),
        found_letters=sum(word in letters for line in lines for word in words_of(line.text)),
        totals=bool(total),
        found_totals=bool(total) and letters_of(total) in letters,
        lines=len(lines),
        overlap=sum(max((_iou(box, other.box) for other in read), default=0.0) for box in truth),
        confidence=float(np.average(scores, weights=weights)) if read else 0.0,
        pictures=1,
        cpu_seconds=seconds,
    )


def missing_words(truth: Sequence[str], read: Sequence[str]) -> list[str]:
    """Return the words of the truth that were not read as words of their own."""
    wanted = Counter(word for text in truth for word in words_of(text))
    found = Counter(word for text in read for word in words_of(text))
    return sorted((wanted - found).elements())


def words_of(text: str) -> list[str]:
    """Return the runs of letters and digits, in one case."""
    return re.findall(r"\w+", text.casefold())


def letters_of(text: str) -> str:
    """Return the text in one case and without white space."""
    return "".join(text.casefold().split())


def _turned_box(
    quad: NDArray[np.float64], size: tuple[int, int], turned: tuple[int, int], degrees: int
) -> Box:
    """Return the normalized box of a quad after Pillow turned the picture."""
    angle = math.radians(degrees)
    x, y = (quad - np.array(size) / 2).T
    across = x * math.cos(angle) + y * math.sin(angle) + turned[0] / 2
    down = -x * math.sin(angle) + y * math.cos(angle) + turned[1] / 2
    return (
        float(across.min() / turned[0]),
        float(down.min() / turned[1]),
        float(across.max() / turned[0]),
        float(down.max() / turned[1]),
    )


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)
