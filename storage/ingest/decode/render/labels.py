"""Draw labels in any script, inside the picture.

A label may mix scripts: each run of characters is drawn in the font that has them. Letters of
Arabic, Hebrew, Thai and Devanagari are joined and placed by Raqm, which Pillow's wheels contain.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sightline.storage.ingest.decode.render.fonts import LabelFont, font_of, label_font

_MAX_LINES: Final = 3
_ELLIPSIS: Final = "…"
# Characters that change the one before them, and have no place of their own.
_JOINED: Final = frozenset("\u200d\ufe0e\ufe0f")
_RIGHT_TO_LEFT: Final = (LabelFont.ARABIC, LabelFont.HEBREW)


class TextRun(NamedTuple):
    """Characters of one font."""

    font: LabelFont
    text: str


class LabelWriter:
    """Measures and draws labels of one font size, in pixels."""

    def __init__(self, fonts: dict[LabelFont, ImageFont.FreeTypeFont], size: int) -> None:
        self._fonts = fonts
        self.padding = max(2, size // 5)
        self.line_height = round(1.2 * size)

    def width(self, text: str) -> float:
        """Return the width of one line."""
        return sum(self._fonts[run.font].getlength(run.text) for run in text_runs(text))

    def lines(self, label: str, max_width: float) -> list[str]:
        """Return the label in at most three lines of the width, shortened to fit."""
        available = max_width - 2 * self.padding
        lines: list[str] = []
        rest = label
        while rest and len(lines) < _MAX_LINES:
            fitting = self._fitting(rest, available)
            if fitting < len(rest) and len(lines) + 1 < _MAX_LINES:
                space = rest.rfind(" ", 0, fitting + 1)
                fitting = space if space > fitting // 2 else fitting
            elif fitting < len(rest):
                shown = self._fitting(rest, available - self.width(_ELLIPSIS))
                lines.append(rest[:shown].rstrip() + _ELLIPSIS)
                return lines
            lines.append(rest[:fitting].strip())
            rest = rest[fitting:].lstrip()
        return lines

    def size(self, lines: Sequence[str]) -> tuple[int, int]:
        """Return width and height of a label with its padding."""
        width = max(map(self.width, lines), default=0.0)
        return round(width) + 2 * self.padding, len(lines) * self.line_height + self.padding

    def draw(
        self, image: Image.Image, lines: Sequence[str], box: NDArray[np.float32], color: str
    ) -> None:
        """Draw white lines of text on a box, (4,) in pixels, of the color."""
        canvas = ImageDraw.Draw(image)
        canvas.rectangle([float(edge) for edge in box], fill=color)
        x0, y0 = float(box[0]) + self.padding, float(box[1])
        for number, line in enumerate(lines):
            x = x0
            baseline = y0 + (number + 0.85) * self.line_height
            for run in _visual_order(text_runs(line)):
                font = self._fonts[run.font]
                canvas.text((x, baseline), run.text, "white", font=font, anchor="ls")
                x += font.getlength(run.text)

    def _fitting(self, text: str, width: float) -> int:
        """Return how many characters fit, at least 1."""
        low, high = 1, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.width(text[:middle]) <= width else (low, middle - 1)
        return low


@contextmanager
def label_writer(labels: Sequence[str], size: int) -> Iterator[LabelWriter]:
    """Yield a writer with the fonts that the labels need."""
    needed = {LabelFont.CJK, *(run.font for label in labels for run in text_runs(label))}
    with ExitStack() as stack:
        paths = {font: stack.enter_context(label_font(font)) for font in needed}
        fonts = {font: ImageFont.truetype(str(path), size) for font, path in paths.items()}
        yield LabelWriter(fonts, size)


def text_runs(text: str) -> list[TextRun]:
    """Return a line as runs of one font each, in reading order.

    Spaces and marks belong to the run before them, and joiners between emoji are left out.
    """
    runs: list[TextRun] = []
    for character in text:
        if character in _JOINED:
            continue
        is_space = character == " " and runs and runs[-1].font != LabelFont.EMOJI
        belongs_to_run = is_space or unicodedata.combining(character)
        font = runs[-1].font if runs and belongs_to_run else font_of(character)
        if runs and runs[-1].font == font:
            runs[-1] = TextRun(font, runs[-1].text + character)
        else:
            runs.append(TextRun(font, character))
    return runs


def place_labels(
    corners: NDArray[np.float32],
    sizes: NDArray[np.float32],
    image_size: tuple[int, int],
    *,
    spread: bool,
) -> NDArray[np.float32]:
    """Return a box for each label, (n, 4) in pixels, inside the picture.

    A label is above the upper left corner of its box ``corners`` (n, 4), or inside it where there
    is no room above. ``sizes`` is (n, 2). ``spread`` moves labels apart that would hide each other.
    """
    top = corners[:, 1] - sizes[:, 1]
    top = np.where(top < 0, corners[:, 1], top)
    start = np.stack([corners[:, 0], top], axis=1)
    boxes = _moved_inside(np.concatenate([start, start + sizes], axis=1), image_size)
    return _spread(boxes, image_size) if spread else boxes


def _spread(boxes: NDArray[np.float32], image_size: tuple[int, int]) -> NDArray[np.float32]:
    """Move labels (n, 4) that would hide one before them to the nearest free place.

    Such a place is beside, above or below labels before it. A label without one is not moved.
    """
    placed = boxes.copy()
    for number in range(1, len(boxes)):
        before, start = placed[:number], boxes[number, :2]
        size = boxes[number, 2:] - start
        x, y = (
            np.concatenate(
                [start[axis : axis + 1], before[:, axis] - size[axis], before[:, 2 + axis]]
            )
            for axis in (0, 1)
        )
        starts = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        starts = starts[(starts >= 0).all(axis=1) & (starts + size < image_size).all(axis=1)]
        starts = starts[np.square(starts - start).sum(axis=1).argsort(kind="stable")]
        is_apart = (starts[:, None] >= before[:, 2:]) | (starts[:, None] + size <= before[:, :2])
        is_free = is_apart.any(axis=2).all(axis=1)
        if is_free.any():
            x0, y0 = starts[is_free.argmax()]
            placed[number] = (x0, y0, x0 + size[0], y0 + size[1])
    return placed


def _moved_inside(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    extents = boxes[:, 2:] - boxes[:, :2]
    limit = np.maximum(0, np.array(size, np.float32) - 1 - extents)
    start = np.clip(boxes[:, :2], 0, limit)
    return np.concatenate([start, start + extents], axis=1).astype(np.float32)


def _visual_order(runs: Sequence[TextRun]) -> Sequence[TextRun]:
    """Return runs from left to right: Arabic and Hebrew are read leftwards."""
    return runs[::-1] if runs and runs[0].font in _RIGHT_TO_LEFT else runs
