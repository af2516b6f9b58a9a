"""One image for the checks: text, capture time, and boxes of the detector."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from PIL import Image

from sightline.storage.errors import ModelError
from sightline.storage.interfaces import Detection, Detector
from sightline.storage.records.assets import AssetTextLine
from sightline.tools.answers.answer_context import ImageEvidence
from sightline.tools.answers.checks.check_types import FoundPlace
from sightline.tools.answers.checks.domain import names_of, unknown_words
from sightline.tools.answers.statements.written_values import find_money, find_times
from sightline.tools.answers.text_matching import contains_phrase, normalize

#: From this score a box is taken as right. Detectors are calibrated.
SURE: Final = 0.6
#: A box with a lower score is not counted.
POSSIBLE: Final = 0.3
#: An object is taken as absent if no box has this score.
ABSENT: Final = 0.08
#: The name of a thing in the text of an image: "West", "L4", "HS-40", "OK?".
_NAME: Final = re.compile(r"[A-Z0-9][\w.?/-]{0,15}")
_CODE: Final = re.compile(r"[A-Z]{1,4}-?\d{1,6}")
#: Things that consist of text, by what the text looks like. A line of a picture is meant if no
#: other line looks so.
_WRITTEN_THINGS: Final[Sequence[tuple[re.Pattern[str], Callable[[str], object]]]] = (
    (re.compile(r"price(?: tag| label)?|cost|价格|售价|单价|价签", re.IGNORECASE), find_money),
    (
        re.compile(
            r"(?:part|product|item|patient) (?:number|id|code)|(?:零件|商品|产品|病人)?编?号",
            re.IGNORECASE,
        ),
        _CODE.search,
    ),
    (re.compile(r"clock|digital clock|时钟|钟", re.IGNORECASE), find_times),
)
#: A box or a letter has its name inside, so that the place of the name is its place.
_AROUND_NAME: Final = re.compile(
    r"(?:(?:box|diamond|step) |方框|菱形)(?P<name>[A-Z][\w?]{0,15})", re.IGNORECASE
)


class Scene:
    """One image with what can be found on it.

    The detector is asked once for each phrase. Checks of several claims may use it at the same
    time. ``known_words`` are the words that the detector knows, None for all. ``is_drawn`` says
    that the image is like drawn ones, with a ground of one color.
    """

    def __init__(
        self,
        evidence: ImageEvidence,
        detector: Detector | None,
        known_words: frozenset[str] | None = None,
        *,
        is_drawn: bool = True,
    ) -> None:
        self._evidence = evidence
        self._detector = detector
        self._known_words = known_words
        self.is_drawn = is_drawn
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
        (found,) = await detector.detect([pixels], phrases, ABSENT)
        return found

    async def candidates(self, phrases: Sequence[str]) -> list[list[FoundPlace]]:
        """Return the places where each phrase may be, best first; none without a sure one.

        Names are looked for in the text of the image first.
        """
        written = [self.written_place(each) for each in phrases]
        objects = [each for each, place in zip(phrases, written, strict=True) if place is None]
        detected = dict(zip(objects, await self.detect(objects) or [], strict=False))
        found = []
        for phrase, place in zip(phrases, written, strict=True):
            places = [place] if place is not None else detected.get(phrase, [])
            is_sure = bool(places) and places[0].score >= SURE
            found.append([each for each in places if each.score >= POSSIBLE] if is_sure else [])
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
        """Return the only line of text that a name means, or the only price, code or time."""
        looks = next((look for what, look in _WRITTEN_THINGS if what.fullmatch(phrase)), None)
        around = _AROUND_NAME.fullmatch(phrase)
        phrase = phrase if around is None else around["name"]
        if looks is not None:
            lines = [line for line in self.lines if looks(line.text.strip())]
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


def has_name_inside(phrase: str) -> bool:
    """Return whether a phrase is for a box with a name in it: "box Start"."""
    return _AROUND_NAME.fullmatch(phrase) is not None


def only_sure(places: Sequence[FoundPlace]) -> FoundPlace | None:
    """Return the best place if it is sure and no other is half as sure."""
    if not places or places[0].score < SURE:
        return None
    is_only = all(each.score < places[0].score / 2 for each in places[1:])
    return places[0] if is_only else None


def sure_and_possible(places: Sequence[FoundPlace]) -> tuple[list[FoundPlace], list[FoundPlace]]:
    """Return the places that are sure, and all that are at least possible."""
    possible = [each for each in places if each.score >= POSSIBLE]
    return [each for each in possible if each.score >= SURE], possible
