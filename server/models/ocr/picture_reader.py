"""Read a picture: its lines in order, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.server.models.ocr.line_detection import Deadline, detect_lines, has_lines
from sightline.server.models.ocr.line_geometry import (
    boxes_of,
    normalized_box,
    sizes,
    to_reading_frame,
)
from sightline.server.models.ocr.line_order import PlacedLine, order_lines
from sightline.server.models.ocr.line_reading import LineReader, ReadLine
from sightline.server.models.ocr.ocr_models import OcrModels
from sightline.server.models.ocr.text_models import BgrImage, Quads, text_models
from sightline.storage.interfaces import OcrLine, OcrProblem, OcrReading

# On a slow machine the lines that were found must still be read.
_DETECTION_SHARE = 0.5
_MIN_CONFIDENCE = 0.5
# A picture whose lines read badly has no text that the models know: then only sure lines count.
_MIN_PICTURE_CONFIDENCE = 0.85
_MIN_SURE_CONFIDENCE = 0.9
# What is certainly print: a long line of which the detector is sure.
_MIN_PRINT_SCORE, _MIN_PRINT_ASPECT, _MIN_PRINT_LINES = 0.7, 2.0, 2
# The detector is less sure of small print. Letters have half of the height of their line.
_SMALL_PRINT_PIXELS, _MIN_SMALL_PRINT_ASPECT = 14.0, 4.0


def has_text(models: OcrModels, image: Image.Image) -> bool:
    """Return whether a quick look at an RGB image finds lines."""
    return has_lines(text_models(models), _bgr(image))


def read_picture(models: OcrModels, image: Image.Image, max_seconds: float) -> OcrReading:
    """Return the lines of an RGB image that were read in time."""
    loaded, pixels = text_models(models), _bgr(image)
    deadline, detection = Deadline(max_seconds), Deadline(_DETECTION_SHARE * max_seconds)
    found = detect_lines(loaded, pixels, detection)
    lines, turn = LineReader(loaded, pixels, found.quads, deadline).read_all()
    kept, problem = _judge(lines, found.scores)
    if deadline.was_reached or detection.was_reached:
        problem = "cut short"
    return OcrReading(_in_order(kept, image.size, turn), problem)


def _judge(
    lines: Sequence[ReadLine], scores: NDArray[np.float32]
) -> tuple[list[ReadLine], OcrProblem | None]:
    """Return the lines that are text, and why most of the print was not read."""
    if not lines:
        return [], None
    along, across = sizes(np.stack([line.quad for line in lines]))
    aspects = along / np.maximum(1.0, across)
    confidences = np.array([line.recognized.confidence for line in lines])
    is_known = float(np.average(confidences, weights=aspects)) >= _MIN_PICTURE_CONFIDENCE
    least = _MIN_CONFIDENCE if is_known else _MIN_SURE_CONFIDENCE
    is_kept = confidences >= least
    kept = [line for line, keep in zip(lines, is_kept, strict=True) if keep]
    is_small = (across <= _SMALL_PRINT_PIXELS) & (aspects >= _MIN_SMALL_PRINT_ASPECT)
    is_print = (scores[: len(lines)] >= _MIN_PRINT_SCORE) & (aspects >= _MIN_PRINT_ASPECT)
    unread = (is_print | is_small) & ~is_kept
    if unread.sum() < _MIN_PRINT_LINES or unread.sum() <= (is_print & is_kept).sum():
        return kept, None
    return kept, "small print" if is_small[unread].mean() > 0.5 else "unknown script"


def _in_order(lines: Sequence[ReadLine], size: tuple[int, int], turn: int) -> list[OcrLine]:
    """Return the lines in reading order.

    Lines in the direction of the picture come first, after those that are above all of them, such
    as the title of vertical text.
    """
    ordered: list[OcrLine] = []
    main = [line for line in lines if line.turn == turn]
    top = min((line.quad[:, 1].min() for line in main), default=0.0)
    above = [line for line in lines if line.turn != turn and line.quad[:, 1].max() <= top]
    rest = [line for line in lines if line.turn != turn and line.quad[:, 1].max() > top]
    groups = [
        (direction, group)
        for part in (above, main, rest)
        for direction in dict.fromkeys(line.turn for line in part)
        if (group := [line for line in part if line.turn == direction])
    ]
    for direction, group in groups:
        quads = np.stack([line.quad for line in group])
        boxes = boxes_of(_leveled(quads, size, direction))
        placed = [
            PlacedLine(
                key, line.recognized.text, (float(b[0]), float(b[1]), float(b[2]), float(b[3]))
            )
            for key, (line, b) in enumerate(zip(group, boxes, strict=True))
        ]
        for row in order_lines(placed):
            for number, each in enumerate(row):
                line = group[each.key]
                text, confidence = line.recognized
                box = normalized_box(line.quad, *size)
                ordered.append(OcrLine(text, box, min(1.0, confidence), starts_row=number == 0))
    return ordered


def _leveled(quads: Quads, size: tuple[int, int], turn: int) -> Quads:
    """Return quads in a frame in which their text is upright and level."""
    turned = to_reading_frame(quads, size, turn)
    sides = turned[:, 1] - turned[:, 0]
    lengths = np.linalg.norm(sides, axis=1)
    angles = np.arctan2(sides[:, 1], sides[:, 0])
    order = np.argsort(angles)
    # The median by length: short lines have angles of their own.
    half = np.searchsorted(np.cumsum(lengths[order]), lengths.sum() / 2)
    angle = -float(angles[order[min(int(half), len(order) - 1)]])
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    return np.asarray(turned @ matrix, np.float32)


def _bgr(image: Image.Image) -> BgrImage:
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
