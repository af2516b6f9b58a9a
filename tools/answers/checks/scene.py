"""One image for the checks: text, capture time, and boxes of the detector."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from PIL import Image

from sightline.storage.errors import ModelError
from sightline.storage.interfaces import Detection, Detector
from sightline.storage.records.assets import AssetTextLine
from sightline.tools.answers.answer_context import ImageEvidence
from sightline.tools.answers.checks.check_types import FoundPlace
from sightline.tools.answers.checks.domain import names_of, unknown_words
from sightline.tools.answers.statements.written_values import find_money
from sightline.tools.answers.text_matching import contains_phrase, normalize

#: From this score a box is taken as right. Detectors are calibrated.
SURE: Final = 0.7
#: The object of a box with a lower score is taken as absent.
POSSIBLE: Final = 0.12
#: The name of a thing in the text of an image: "West", "L4", "HS-40", "OK?".
_NAME: Final = re.compile(r"[A-Z0-9][\w.?/-]{0,15}")
_PRICE: Final = re.compile(r"^(?:price|cost|价格|售价|单价)$", re.IGNORECASE)


class Scene:
    """One image with what can be found on it.

    The detector is asked once for each phrase. Checks of several claims may use it at the same
    time. ``known_words`` are the words that the detector knows, None for all.
    """

    def __init__(
        self,
        evidence: ImageEvidence,
        detector: Detector | None,
        known_words: frozenset[str] | None = None,
    ) -> None:
        self._evidence = evidence
        self._detector = detector
        self._known_words = known_words
        self._found: dict[str, list[FoundPlace]] = {}
        self._lock = asyncio.Lock()

    @property
    def number(self) -> int:
        """Return the number of the image in the evidence."""
        return self._evidence.number

    @property
    def image(self) -> Image.Image:
        return self._evidence.image

    @property
    def lines(self) -> Sequence[AssetTextLine]:
        return self._evidence.ocr_lines

    @property
    def captured(self) -> datetime | None:
        """Return the local capture time."""
        asset = self._evidence.asset
        return asset.captured_local or asset.captured_at

    async def detect(self, phrases: Sequence[str]) -> list[list[FoundPlace]] | None:
        """Return the boxes of each phrase, best first; None without a detector."""
        if self._detector is None or not all(phrases):
            return None
        async with self._lock:
            missing = [each for each in dict.fromkeys(phrases) if each not in self._found]
            if missing:
                try:
                    found = await self._ask(self._detector, missing)
                except ModelError:
                    return None  # a failed check must not block the answer
                self._found |= {each: [] for each in missing}
                for each in found:
                    place = FoundPlace(each.phrase, each.box, each.score, "detector")
                    self._found.setdefault(each.phrase, []).append(place)
        return [self._found[each] for each in phrases]

    def knows(self, phrase: str) -> bool:
        """Return whether a phrase without boxes says that there is no such object."""
        if self._known_words is None:
            return True
        if names_of(phrase):
            return False  # the built-in detector does not read
        return bool(self._known_words) and not unknown_words(phrase, self._known_words)

    async def _ask(self, detector: Detector, phrases: Sequence[str]) -> list[Detection]:
        pixels = await asyncio.to_thread(detector.preprocess, self.image)
        (found,) = await detector.detect([pixels], phrases)
        return found

    async def locate(self, phrases: Sequence[str]) -> list[FoundPlace | None]:
        """Return the only place of each phrase, None if there is none or several.

        Names are looked for in the text of the image first.
        """
        written = [self.written_place(each) for each in phrases]
        objects = [each for each, place in zip(phrases, written, strict=True) if place is None]
        detected = dict(zip(objects, await self.detect(objects) or [], strict=False))
        return [
            place or only_sure(detected.get(each, ()))
            for each, place in zip(phrases, written, strict=True)
        ]

    def written_place(self, phrase: str) -> FoundPlace | None:
        """Return the only line of text that a name means, or the only price."""
        if _PRICE.match(phrase):
            lines = [line for line in self.lines if find_money(line.text)]
        elif _NAME.fullmatch(phrase) or re.fullmatch(r"[\"“].+[\"”]", phrase):
            words = normalize(phrase)
            lines = [line for line in self.lines if normalize(line.text) == words]
            lines = lines or [line for line in self.lines if contains_phrase(line.text, words)]
        else:
            return None
        boxes = [(line.text, line.box) for line in lines if line.box is not None]
        if len(boxes) != 1:
            return None
        text, box = boxes[0]
        return FoundPlace(text, box, 1.0, "text")


def only_sure(places: Sequence[FoundPlace]) -> FoundPlace | None:
    """Return the first place if it is sure and no other is nearly as sure."""
    sure = [each for each in places if each.score >= SURE]
    if len(sure) != 1 or any(POSSIBLE <= each.score < SURE for each in places):
        return None
    return sure[0]


def sure_and_possible(places: Sequence[FoundPlace]) -> tuple[list[FoundPlace], list[FoundPlace]]:
    """Return the places that are sure, and all that are at least possible."""
    possible = [each for each in places if each.score >= POSSIBLE]
    return [each for each in possible if each.score >= SURE], possible
