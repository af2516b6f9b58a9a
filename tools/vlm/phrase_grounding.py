"""Locate phrases in one image: objects by a model, quoted words by the OCR text.

An object is located by the vision-language model if it draws boxes, else by the detector.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image

from sightline.storage.errors import ModelUnavailableError
from sightline.storage.interfaces import Detector
from sightline.storage.records.assets import AssetTextLine
from sightline.storage.text.phrases import parse_phrase
from sightline.tools.boxes.box_parser import BoxStatus, ParsedBox, parse_boxes
from sightline.tools.boxes.geometry import Size, to_pixels
from sightline.tools.vlm.vision_language_model import Request, VisionLanguageModel

NO_VLM = (
    "No vision-language model is set. Set SIGHTLINE_VLM__BASE_URL and SIGHTLINE_VLM__MODEL; "
    "SIGHTLINE_VLM__MODEL=builtin alone is the tiny built-in one."
)
#: Maximum number of boxes or lines that are marked for one phrase.
_MAX_BOXES: Final = 20
_QUOTED: Final = re.compile(r"""(?:"(.+)"|“(.+)”|„(.+)[“”]|«(.+)»|「(.+)」|『(.+)』)""")


@dataclass(frozen=True, slots=True)
class PhraseLocation:
    """The boxes of one phrase, or of several if the model takes them at once.

    ``model`` is the name of the model that located it; ``scores`` belong to the boxes.
    """

    phrase: str
    status: BoxStatus
    boxes: tuple[ParsedBox, ...]
    notes: tuple[str, ...]
    origin: Literal["model", "detector", "text"] = "model"
    model: str | None = None
    scores: tuple[float, ...] = ()


async def locate_phrases(
    model: VisionLanguageModel, image: Image.Image, phrases: Sequence[str]
) -> list[PhraseLocation]:
    """Ask the model for the boxes of each phrase in an upright image.

    Raises ModelError, and ModelUnavailableError if its family was not trained on boxes.
    """
    profile = model.profile
    if profile.box_format is None:
        raise ModelUnavailableError(f"The model {model.model!r} draws no boxes: {profile.note}")
    groups = [list(phrases)] if profile.multi_phrase else [[phrase] for phrase in phrases]
    locations: list[PhraseLocation] = []
    for group in groups:
        reply = await model.ask(Request(parts=(image, *profile.locate_prompt(group))))
        result = parse_boxes(reply.text, profile, reply.placements[0])
        most, notes = _MAX_BOXES * len(group), result.notes
        if len(result.boxes) > most:
            notes += (f"the model gave {len(result.boxes)} boxes; the first {most} are drawn",)
        locations.append(
            PhraseLocation(
                ", ".join(group), result.status, result.boxes[:most], notes, model=model.model
            )
        )
    return locations


async def detect_phrases(
    detector: Detector, image: Image.Image, phrases: Sequence[str], size: Size
) -> list[PhraseLocation]:
    """Have the detector look for each phrase in an upright image of ``size`` pixels.

    ``image`` may be smaller. Raises ModelError.
    """
    pixels = await asyncio.to_thread(detector.preprocess, image)
    [detections] = await detector.detect([pixels], phrases)
    locations: list[PhraseLocation] = []
    for phrase in phrases:
        found = [each for each in detections if each.phrase == phrase]
        shown, more = found[:_MAX_BOXES], len(found) > _MAX_BOXES
        note = f"the detector found {len(found)}; the {len(shown)} surest are drawn"
        locations.append(
            PhraseLocation(
                phrase,
                "found" if found else "absent",
                tuple(ParsedBox(phrase, each.box, to_pixels(each.box, size)) for each in shown),
                (note,) if more else (),
                "detector",
                detector.name,
                tuple(each.score for each in shown),
            )
        )
    return locations


def quoted_text(phrase: str) -> str | None:
    """Return the words of a quoted phrase, None for any other."""
    match = _QUOTED.fullmatch(phrase.strip())
    words = next((group for group in match.groups() if group), "") if match else ""
    return words.strip() or None


def locate_text(words: str, lines: Sequence[AssetTextLine], size: Size) -> PhraseLocation:
    """Return where the words are written on an upright image of ``size`` pixels.

    Words match as a quoted phrase of `search_text` does, also over several lines. A box is that of
    the whole lines; if they are in no line, that of a paragraph of the text layer.
    """
    # Imports numpy, for which the handshake must not wait.
    from sightline.tools.vlm.phrase_lines import PhraseMatches, TextBox, find_phrase

    boxed = [TextBox(line.text, line.box) for line in lines if line.box]
    paragraphs = [TextBox(line.text, line.paragraph_box) for line in lines if line.paragraph_box]
    if not boxed and not paragraphs:
        note = "no text was read on this image at ingest"
        return PhraseLocation(words, "absent", (), (note,), "text")
    phrase = parse_phrase(words)
    matches = PhraseMatches([], complete=True)
    if phrase is not None:
        matches = find_phrase(phrase, boxed, _MAX_BOXES)
        if not matches.occurrences and paragraphs:
            matches = find_phrase(phrase, paragraphs, _MAX_BOXES)
    found = list(dict.fromkeys(box for boxes in matches.occurrences for box in boxes))
    boxes = tuple(ParsedBox(words, box, to_pixels(box, size)) for box in found[:_MAX_BOXES])
    if not boxes:
        note = "no line that was read on this image contains these words"
        if not matches.complete:
            note += "; only the first lines were searched"
        return PhraseLocation(words, "absent", (), (note,), "text")
    if matches.complete and len(found) <= _MAX_BOXES:
        return PhraseLocation(words, "found", boxes, (), "text")
    note = f"there may be more; the first {len(boxes)} boxes are drawn"
    return PhraseLocation(words, "found", boxes, (note,), "text")
