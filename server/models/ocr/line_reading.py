"""Recognize the lines of a picture in the direction in which they are written.

A scan may lie on its side or upside down. A few long lines are read first: the confidence of text
that is turned wrongly is at most 0.75, that of upright text at least 0.93. All lines of upright
pictures are read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.server.models.ocr.line_detection import Deadline
from sightline.server.models.ocr.line_geometry import LONG, cut_line, sizes, turned_to_read
from sightline.server.models.ocr.text_models import (
    BgrImage,
    Quads,
    RecognizedText,
    TextModels,
)

#: Mean confidence of a few lines with which their direction is not tried the other way round.
SURE_CONFIDENCE = 0.85
_SAMPLE = 6
_BATCH = 24  # lines between two looks at the clock
# A single line that reads badly is tried the other way round, if it is long enough to tell.
_MIN_TURNED_ASPECT, _MAX_TURNED_LINES = 3.0, 12
# Large lines are cut from a smaller copy: the recognizer sees 48 pixels.
_COPY_EDGE = 2000
_MIN_COPY_HEIGHT = 20


@dataclass(frozen=True, slots=True)
class ReadLine:
    """The text of a line, its quad as it is read, and the turn that does it."""

    recognized: RecognizedText
    quad: NDArray[np.float32]
    turn: int


class LineReader:
    """Reads lines of one picture, each in one direction only once."""

    def __init__(
        self, models: TextModels, image: BgrImage, quads: Quads, deadline: Deadline
    ) -> None:
        self._models, self._deadline = models, deadline
        self._image, self._quads = image, quads
        self._copy, self._scale = _copy_of(image)
        self._known: dict[tuple[int, int], RecognizedText] = {}
        along, across = sizes(quads)
        self._aspects = along / np.maximum(1.0, across)
        self._along, self._across = along, across

    def read_all(self) -> tuple[list[ReadLine], int]:
        """Return all lines that were read in time, and the turn of the picture."""
        if not len(self._quads):
            return [], 0
        wide, tall = self._aspects >= LONG, self._aspects <= 1 / LONG
        lengths = np.maximum(self._along, self._across)
        turns = {"wide": 0, "tall": 1}
        is_tall_picture = lengths[tall].sum() > lengths[wide].sum()
        for name, group, choices in (("wide", wide, (0, 2)), ("tall", tall, (1, 3))):
            if group.any():
                turns[name] = self._better_turn(np.flatnonzero(group), choices)
        picture_turn = turns["tall" if is_tall_picture else "wide"]
        chosen = np.full(len(self._quads), picture_turn)
        chosen[wide], chosen[tall] = turns["wide"], turns["tall"]
        self._recognize([(index, int(turn)) for index, turn in enumerate(chosen)])
        self._try_other_turns(chosen)
        lines = [
            ReadLine(self._known[index, turn], turned_to_read(self._quads[index], turn), turn)
            for index, turn in enumerate(map(int, chosen))
            if (index, turn) in self._known
        ]
        return lines, picture_turn

    def _better_turn(self, group: NDArray[np.intp], choices: tuple[int, int]) -> int:
        """Return the turn in which some long lines of the group read better."""
        lengths = np.maximum(self._along, self._across)[group]
        # Not the very longest, which are often rules or several lines in one.
        sample = group[np.argsort(-lengths)][: 2 * _SAMPLE][::2]
        confidences = []
        for turn in choices:
            self._recognize([(int(index), turn) for index in sample])
            known = [self._known.get((int(index), turn)) for index in sample]
            confidences.append(mean_confidence([each for each in known if each is not None]))
            if confidences[0] >= SURE_CONFIDENCE:
                return choices[0]
        return choices[int(np.argmax(confidences))]

    def _try_other_turns(self, chosen: NDArray[np.int_]) -> None:
        """Turn single lines that read badly, if they read well the other way round."""
        aspects = np.maximum(self._aspects, 1 / np.maximum(1e-6, self._aspects))
        bad = [
            (index, int(turn))
            for index, turn in enumerate(chosen)
            if aspects[index] >= _MIN_TURNED_ASPECT
            and (known := self._known.get((index, int(turn)))) is not None
            and known.confidence < SURE_CONFIDENCE
        ][:_MAX_TURNED_LINES]
        self._recognize([(index, (turn + 2) % 4) for index, turn in bad])
        for index, turn in bad:
            other = self._known.get((index, (turn + 2) % 4))
            if other is not None and other.confidence >= SURE_CONFIDENCE:
                chosen[index] = (turn + 2) % 4

    def _recognize(self, wanted: Sequence[tuple[int, int]]) -> None:
        new = [each for each in dict.fromkeys(wanted) if each not in self._known]
        # The recognizer reads lines of equal lengths together.
        new.sort(key=lambda each: max(self._aspects[each[0]], 1 / self._aspects[each[0]]))
        for start in range(0, len(new), _BATCH):
            if self._deadline.is_over():
                return
            batch = new[start : start + _BATCH]
            texts = self._models.recognize([self._crop(*each) for each in batch])
            self._known.update(zip(batch, texts, strict=True))

    def _crop(self, index: int, turn: int) -> BgrImage:
        quad = turned_to_read(self._quads[index], turn)
        height = min(self._along[index], self._across[index])
        if height * self._scale >= _MIN_COPY_HEIGHT:
            return cut_line(self._copy, quad * self._scale)
        return cut_line(self._image, quad)


def mean_confidence(texts: Sequence[RecognizedText]) -> float:
    """Return the mean by characters; a line without text counts as one of four."""
    if not texts:
        return 0.0
    weights = [max(4, len(each.text)) for each in texts]
    return float(np.average([each.confidence for each in texts], weights=weights))


def _copy_of(image: BgrImage) -> tuple[BgrImage, float]:
    scale = min(1.0, _COPY_EDGE / max(image.shape[:2]))
    if scale == 1.0:
        return image, 1.0
    copy = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(copy, np.uint8), scale
